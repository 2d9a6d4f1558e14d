"""Run `segment` with the bundled model on every raster below a folder, and print what came out as a Markdown table.

    python benchmarks/scenes.py ../shared/data/scenes [--tiles ../shared/data/buildings/zanzibar]

Each scene gets the bands and the rescaling that a user would have to state. Exit status 1 if a scene was refused that
should run, if an output is not on its scene's grid, or if anything but a GeoDeepLabError was raised. Times are of one
run each, in one process, and say how long a scene takes, not how fast GeoDeepLab is.
"""

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geodeeplab as gdl
from geodeeplab.raster import Scene
from xyz_mosaic import write_mosaics

MAY_BE_REFUSED = {
    "ground control points only": "GCPs only",
    "RPCs only": "RPCs only",
    "has complex pixels": "complex",
    "has a palette": "palette",
    "has 1 band": "single band",
    "no valid pixel": "all nodata",
    "is no raster that GDAL can open": "no raster",
}
"""What a refusal says, and why it is right for an RGB model."""

BLUE_FIRST = {"L7_ETMs.tif", "segmentation_test_0_input.tif"}
"""Files whose bands have no names and begin blue, green, red; in all others without names red comes first."""

HEADER = "| scene | size | type | bands | outcome | valid | seconds | polygons |\n|---|---|---|---|---|--:|--:|--:|"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One scene of the table."""

    name: str
    """Path below the folder."""
    size: str = ""
    """Width × height."""
    dtype: str = ""
    """Data type of the bands used."""
    bands: str = ""
    """The bands used; in brackets where they had to be stated."""
    outcome: str
    """`ok` with its warnings, or the message of the refusal."""
    valid: str = ""
    """Share of pixels with a label."""
    seconds: float
    """Wall time."""
    polygons: str = ""
    """How many were written."""
    is_right: bool
    """False where a scene should have run, or broke something."""

    def __str__(self) -> str:
        """Give the line of the table."""
        cells = [self.name, self.size, self.dtype, self.bands, self.outcome, self.valid]
        cells += [f"{self.seconds:.1f}", self.polygons]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def iter_files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def stated_bands(scene: Scene) -> list[int] | None:
    """Give the bands that have to be stated for an RGB model: none where they answer to their names."""
    names = {band.name.casefold() for band in scene.bands}
    if {"red", "green", "blue"} <= names or len(scene.bands) < 3:
        return None
    return [3, 2, 1] if Path(scene.path).name in BLUE_FIRST else [1, 2, 3]


def try_scene(path: Path, name: str, out: Path, *, gray: bool = False) -> Row:
    """Segment one scene, one of a single band as grey if so wanted; check that its outputs lie where it lies."""
    started, said = time.perf_counter(), {}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", gdl.GeoDeepLabWarning)
            with gdl.open_scene(path) as scene:
                bands = [1, 1, 1] if gray and len(scene.bands) == 1 else stated_bands(scene)
                used = scene if bands is None else scene.select(bands)
                rescale = None if used.dtype == "uint8" else "2%,98%"
                height, width = scene.shape
                said = {"size": f"{width} × {height}", "dtype": used.dtype.name}
                grid = scene.grid
            done = gdl.segment(
                path,
                out / "a.gpkg",
                label_raster=out / "a.tif",
                confidence=out / "c.tif",
                bands=bands,
                rescale=rescale,
                overwrite=True,
            )
            with gdl.open_scene(out / "a.tif", allow_palette=True) as labels:
                is_right = labels.grid.shape == grid.shape and labels.grid.crs == grid.crs
                is_right &= labels.grid.transform.almost_equals(grid.transform, precision=1e-6 * grid.res[0])
    except gdl.GeoDeepLabError as error:
        is_right = any(words in str(error) for words in MAY_BE_REFUSED)
        outcome = f"refused: {str(error).replace(str(path), path.name)}"
        return Row(name=name, outcome=outcome, seconds=time.perf_counter() - started, is_right=is_right, **said)
    except Exception as error:
        traceback.print_exc()
        outcome = f"**{type(error).__name__}: {error}**"
        return Row(name=name, outcome=outcome, seconds=time.perf_counter() - started, is_right=False, **said)
    texts = {str(item.message) for item in caught if issubclass(item.category, gdl.GeoDeepLabWarning)}
    notes = "; no CRS" * any("no CRS" in text for text in texts) + "; **off its grid**" * (not is_right)
    named = ", ".join(done.facts["bands"])
    return Row(
        name=name,
        bands=f"({named})" if bands else named,
        outcome=("ok, rescaled 2–98 %" if rescale else "ok") + notes,
        valid=f"{sum(done.facts['pixels'].values()) / (width * height):.1%}",
        seconds=time.perf_counter() - started,
        polygons=str(done.facts["polygons"]),
        is_right=bool(is_right),
        **said,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/scenes"))
    parser.add_argument("--tiles", type=Path, help="A folder of XYZ tiles: its largest mosaic is segmented, too.")
    parser.add_argument("--zoom", type=int, default=21, help="Zoom level of these tiles.")
    parser.add_argument("--gray", action="store_true", help="Show the model scenes of a single band as grey ones.")
    parser.add_argument("--threads", type=int, help="Threads of torch.")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    print(HEADER, flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        scenes = [(path, str(path.relative_to(options.folder))) for path in iter_files(options.folder)]
        if options.tiles:
            mosaic = write_mosaics(options.tiles, options.zoom, out)[0]
            scenes.append((mosaic, f"mosaic of {options.tiles.name} at zoom {options.zoom}"))
        for path, name in scenes:
            rows.append(try_scene(path, name, out, gray=options.gray))
            print(rows[-1], flush=True)
    ran = sum(row.outcome.startswith("ok") for row in rows)
    wrong = [row.name for row in rows if not row.is_right]
    print(f"\n{ran} of {len(rows)} ran, {len(rows) - ran} were refused" + f"; wrong: {', '.join(wrong)}" * bool(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
