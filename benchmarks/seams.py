"""Which tile size, overlap and blend: how much labels depend on where the tiles lie, beside mIoU and cost.

A scene is segmented twice, the second time without half a stride of rows and columns at its top and left, so that the
lattice of tiles falls elsewhere on the same ground. The seam ratio is the share of labels that change within 8 px of
the ownership lines of either lattice (the middles of the overlaps), over the share that change elsewhere. Beside it,
the steps between neighbours across these lines, and at the same places under the other lattice. 1 means that no line
shows. Every case of a scene compares the same pixels, those that no case reaches from the scene's edges.

    python benchmarks/seams.py --dubai ../shared/data/dubai --json out/seams.jsonl
    python benchmarks/seams.py MOSAIC.vrt --json out/seams.jsonl

`--dubai` adds tile 6 of that set, with mIoU. With `--json` every finished case is one line of the file, and cases that
it has are not run again. The output is a Markdown table a scene. Scenes are single RGB uint8 files, bundled model.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from aerial_scenes import write_dubai_scene
from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.evaluation import confusion_matrix, mean_iou
from geodeeplab.models import Model, load_model
from geodeeplab.pipeline.segment import segment
from geodeeplab.tiling import Axis
from seam_metric import CELL_HEADS, Lines, change_cells, compare, middles, shift_lines, write_crop

TILES = (512, 768, 1024)
OVERLAPS = (0, 64, 128, 192)
BLENDS = ("none", "linear", "hann")
TRAIL = max(OVERLAPS)
"""Rows and columns at the scene's bottom and right that are not compared."""
LEAD = max(TILES) // 2 + max(OVERLAPS)
"""Likewise at its top and left: half the longest stride, which is cut off, and an overlap that nothing blends into."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to tile."""

    tile_size: int
    """Pixels of a tile along each axis."""
    overlap: int
    """Pixels that neighbouring tiles share."""
    blend: str
    """`none`, `linear` or `hann`."""

    @property
    def half_stride(self) -> int:
        """Pixels by which the second lattice is shifted."""
        return (self.tile_size - self.overlap) // 2

    def lines(self, shape: Sequence[int]) -> Lines:
        """Give the ownership lines over a scene of (height, width)."""
        axes = [Axis(length=length, tile_size=self.tile_size, overlap=self.overlap) for length in shape]
        rows, cols = ([axis.start(index) for index in range(axis.count)] for axis in axes)
        return middles(rows, self.tile_size), middles(cols, self.tile_size)


@dataclass(frozen=True, kw_only=True)
class StudyScene:
    """A scene of the study."""

    name: str
    """What the table calls it."""
    path: Path
    """Its file."""
    truth: NDArray[np.uint8] | None = None
    """(H, W) class indices from 0, IGNORE where unknown."""
    ignore: int = 255
    """The value of `truth` that does not count."""


def iter_cases(tiles: Sequence[int], overlaps: Sequence[int], blends: Sequence[str]) -> Iterator[Case]:
    """Yield all combinations, one blend where nothing overlaps."""
    for tile_size in tiles:
        for overlap in overlaps:
            for blend in blends if overlap else ("none",):
                yield Case(tile_size=tile_size, overlap=overlap, blend=blend)


def measure(scene: StudyScene, case: Case, model: Model, folder: Path, how: dict[str, str]) -> dict[str, Any]:
    """Segment a scene under both lattices and give what was found, ready for JSON."""
    shift, shifted_path = case.half_stride, folder / "shifted.tif"
    if shift + case.overlap > LEAD or case.overlap > TRAIL:
        raise SystemExit(f"{case} reaches further than the {LEAD} and {TRAIL} px left out: raise LEAD and TRAIL")
    write_crop(scene.path, shifted_path, top=shift, left=shift)
    first, facts = label(scene.path, case, model, folder, how)
    second, _ = label(shifted_path, case, model, folder, how)
    compared = tuple(slice(LEAD, length - TRAIL) for length in first.shape)
    lines = shift_lines(case.lines(first.shape), -LEAD, -LEAD)
    shifted_lines = shift_lines(case.lines(second.shape), shift - LEAD, shift - LEAD)
    second = np.pad(second, ((shift, 0), (shift, 0)))
    found = compare(first[compared], second[compared], lines, shifted_lines)
    truth = scene.truth
    return found | {
        "miou": None if truth is None else mean_iou(confusion(first, truth, model, scene.ignore)),
        "tile_pixels_per_new": facts["tiles"]["forwarded"] * case.tile_size**2 / first.size,
        "s_per_mpx": facts["seconds"]["segment"] / (first.size / 1e6),
        "device": facts["device"],
        "ran_with": {key: facts[key] for key in ("precision", "batch_size", "threads")},
    }


def confusion(labels: NDArray[np.uint8], truth: NDArray[np.uint8], model: Model, ignore: int) -> NDArray[np.int64]:
    """Count (K, K) pixels of class ids from 1 against class indices from 0."""
    return confusion_matrix(labels - 1, truth, class_ids=range(len(model.contract.classes)), ignore=ignore)


def label(
    path: Path, case: Case, model: Model, folder: Path, how: dict[str, str]
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Segment a scene and give its labels (H, W) with the run's facts."""
    labels_path = folder / "labels.tif"
    done = segment(
        path,
        label_raster=labels_path,
        model=model,
        tile_size=case.tile_size,
        overlap=case.overlap,
        blend=case.blend,
        device=how["device"],
        precision=how["precision"],
        overwrite=True,
    )
    with rasterio.open(labels_path) as src:
        labels = src.read(1)
    if list(labels.shape) != list(done.facts["shape"]):
        raise SystemExit(f"{path} was segmented at another pixel size than its own: its lines lie elsewhere")
    return labels, done.facts


# ---------------------------------------------------------------------------------------------------------------------
# The study


def main() -> None:
    """Run the cases that are missing and print the tables."""
    options = parse_arguments()
    warnings.simplefilter("ignore", GeoDeepLabWarning)
    model = load_model()
    how = {"device": options.device, "precision": options.precision}
    cases = list(iter_cases(options.tiles, options.overlaps, options.blends))
    with tempfile.TemporaryDirectory(prefix="geodeeplab-seams-") as name:
        folder = Path(name)
        for scene in iter_scenes(options, folder):
            with rasterio.open(scene.path) as src:
                shape = src.shape
            if min(shape) <= LEAD + TRAIL:
                raise SystemExit(f"{scene.path} has {shape} px: nothing is left {LEAD} and {TRAIL} px from its edges")
            done = read_done(options.json) if options.json else {}
            rows = []
            for case in cases:
                key = {"scene": scene.name, "shape": list(shape), **asdict(case), **how}
                row = done.get(json.dumps(key))
                if row is None:
                    started = time.monotonic()
                    row = key | measure(scene, case, model, folder, how) | {"wall_s": time.monotonic() - started}
                    append_line(options.json, row)
                rows.append(row)
            print(table(scene.name, shape, rows), flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="*", help="RGB uint8 rasters")
    parser.add_argument("--dubai", type=Path, metavar="FOLDER", help="folder with Tile 6, scored against its labels")
    parser.add_argument("--tiles", type=int, nargs="+", default=TILES)
    parser.add_argument("--overlaps", type=int, nargs="+", default=OVERLAPS)
    parser.add_argument("--blends", nargs="+", choices=BLENDS, default=BLENDS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="one line a finished case; those it has are not run")
    options = parser.parse_args()
    if not options.scenes and not options.dubai:
        parser.error("give a scene, or --dubai")
    return options


def iter_scenes(options: argparse.Namespace, folder: Path) -> Iterator[StudyScene]:
    """Yield the scenes that were asked for; tile 6 is put together in a folder."""
    if options.dubai:
        path, truth = write_dubai_scene(options.dubai, folder)
        yield StudyScene(name="dubai tile 6", path=path, truth=truth)
    for path in options.scenes:
        yield StudyScene(name=path.name, path=path)


KEY = ("scene", "shape", "tile_size", "overlap", "blend", "device", "precision")
"""What makes two cases the same; `device` and `precision` as they were asked for."""


def read_done(path: Path) -> dict[str, dict[str, Any]]:
    """Read the finished cases by their keys; a line that was cut off is not one."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[json.dumps({key: row[key] for key in KEY})] = row
    return found


def append_line(path: Path | None, row: dict[str, Any]) -> None:
    """Add a finished case to the file, on a line of its own even after one that was cut off."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_off = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with open(path, "a") as file:
        file.write("\n" * cut_off + json.dumps(row) + "\n")


HEAD = (
    f"| tile | overlap | blend {CELL_HEADS}| mIoU | tile px ÷ new px (large scene) | s/Mpx |\n"
    "|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|"
)


def table(name: str, shape: Sequence[int], rows: Sequence[dict[str, Any]]) -> str:
    """Lay out a scene's cases; `large scene` is the cost where the scene's edges no longer count."""
    lines = [f"{name}: {shape[1]} × {shape[0]} px", "", HEAD]
    for row in rows:
        large = (row["tile_size"] / (row["tile_size"] - row["overlap"])) ** 2
        miou = "" if row["miou"] is None else f"{row['miou']:.4f}"
        lines.append(
            f"| {row['tile_size']} | {row['overlap']} | {row['blend'] if row['overlap'] else 'any'} {change_cells(row)}"
            f"| {miou} | {row['tile_pixels_per_new']:.2f} ({large:.2f}) | {row['s_per_mpx']:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
