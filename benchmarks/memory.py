"""Peak memory of `segment` on scenes of any size, over the same process after one forward of its batch.

A valid part of an image is repeated by a VRT until it fills the scene, so no tile is skipped, and a tiny network of
`--classes` stands in for a model: what is measured is everything around the network. Each scene gets a process of its
own. Linux only, as the peak is read from /proc and reset between the stages.

    python benchmarks/memory.py sample_data/scene.tif --sizes 5000x5000 20000x20000

Sizes are HEIGHTxWIDTH. The last line of output is a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from torch import Tensor, nn

from geodeeplab.inference import Forward, pick_device
from geodeeplab.models import Contract, Model, ModelBand, ModelClass, Normalisation, SegmentationNetwork
from geodeeplab.models.backbones import FeatureExtractor
from geodeeplab.pipeline.segment import segment
from process_memory import read_status, reset_peak

BANDS = ("red", "green", "blue")
OUTPUT_STRIDE = 16
CHIP_SIZES = (1024, 512, 256)
"""Sides of the square that is cut from the image, the first that is found without nodata counts."""
CRS = "EPSG:32633"
MB = 1e6


def main() -> None:
    """Measure each size in a fresh process and print a table."""
    options = parse_arguments()
    if options.child:
        measure(
            options.image,
            *options.sizes[0],
            classes=options.classes,
            batch_size=options.batch_size,
            polygons=options.polygons,
        )
        return
    outputs = "labels and polygons" if options.polygons else "labels only"
    print(f"{options.image.name}, {options.classes} classes, {outputs}")
    print(TABLE_HEAD)
    with tempfile.TemporaryDirectory(prefix="geodeeplab-memory-", dir=options.folder) as name:
        chip_path = Path(name) / "chip.tif"
        write_chip(options.image, chip_path)
        for height, width in options.sizes:
            command = [sys.executable, __file__, str(chip_path), "--child", "--sizes", f"{height}x{width}"]
            command += ["--batch-size", str(options.batch_size), "--classes", str(options.classes)]
            command += ["--polygons"] * options.polygons
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(table_row(json.loads(done.stdout.splitlines()[-1])), flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "sample_data" / "scene.tif"
    parser.add_argument("image", type=Path, nargs="?", default=default, help="RGB uint8 image to repeat")
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(5000, 5000), (20_000, 20_000)])
    parser.add_argument("--batch-size", type=int, default=2, help="tiles per forward")
    parser.add_argument("--classes", type=int, default=10, help="classes of the network")
    parser.add_argument("--polygons", action="store_true", help="write polygons, too")
    parser.add_argument("--folder", type=Path, help="where the work files go (default: the system's)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def parse_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    height, width = text.lower().split("x")
    return int(height), int(width)


def measure(chip_path: Path, height: int, width: int, *, classes: int, batch_size: int, polygons: bool) -> None:
    """Segment one scene in this process; print what was measured as one line of JSON."""
    with tempfile.TemporaryDirectory(dir=chip_path.parent) as name:
        scene_path, labels_path = Path(name) / "scene.vrt", Path(name) / "labels.tif"
        write_repeating_vrt(chip_path, scene_path, height=height, width=width)
        model = tiny_model(classes)
        forward_once(model, batch_size)
        baseline = read_status("VmRSS")
        reset_peak()
        peak_of_engine = 0

        def on_rows(done: int, total: int) -> None:
            nonlocal peak_of_engine
            if done == total:
                peak_of_engine = read_status("VmHWM")
                reset_peak()

        started = time.perf_counter()
        output = Path(name) / "polygons.gpkg" if polygons else None
        run = segment(
            scene_path, output, label_raster=labels_path, model=model, batch_size=batch_size, progress=on_rows
        )
        total = time.perf_counter() - started
        if run.facts["tiles"]["skipped"]:
            raise SystemExit("some tiles were skipped: use an image with a larger valid part")
        print(
            json.dumps(
                {
                    "height": height,
                    "width": width,
                    "baseline": baseline,
                    "engine": peak_of_engine,
                    "finish": read_status("VmHWM"),
                    "total_s": total,
                    "facts": run.facts,
                }
            )
        )


class Scores(nn.Conv2d):
    """A head of one convolution."""

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """Give coarse logits (N, K, h, w) of the deepest level."""
        return super().forward(levels[-1])


def tiny_model(classes: int) -> Model:
    """Build a network of one strided and one 1 × 1 convolution, logits upsampled bilinearly, seeded."""
    torch.manual_seed(0)
    backbone = FeatureExtractor(
        {"conv": nn.Conv2d(len(BANDS), 16, 3, stride=OUTPUT_STRIDE, padding=1)},
        levels=["conv"],
        channels=[16],
        strides=[OUTPUT_STRIDE],
        origins=[0],
    )
    contract = Contract(
        name="tiny",
        architecture={"num_classes": classes, "in_channels": len(BANDS)},
        classes=tuple(ModelClass(id=i, name=f"class {i}", color=(12 * i, 0, 0)) for i in range(1, classes + 1)),
        bands=tuple(ModelBand(name=name, mean=110.0, std=50.0) for name in BANDS),
    )
    return Model(network=SegmentationNetwork(backbone, Scores(16, classes, 1)), contract=contract, path=Path("tiny"))


def forward_once(model: Model, batch_size: int) -> None:
    """Run the network over one batch as the engine does."""
    contract = model.contract
    forward = Forward(model.network, Normalisation(contract), device=pick_device("cpu"), batch_size=batch_size)
    size = contract.tile_size
    forward.logits(
        torch.zeros(batch_size, len(BANDS), size, size, dtype=torch.uint8),
        torch.ones(batch_size, size, size, dtype=torch.bool),
    )


def write_chip(image_path: Path, dst_path: Path) -> None:
    """Cut a square without nodata from an image into a GeoTIFF of its own, as tiles of 256 px, DEFLATE."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(image_path) as src:
            image, valid = src.read([1, 2, 3]), src.dataset_mask() != 0
    row, col, size = find_valid_square(valid)
    profile = {"driver": "GTiff", "height": size, "width": size, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "interleave": "pixel"}
    with rasterio.open(
        dst_path, "w", crs=CRS, transform=Affine(1, 0, 500_000, 0, -1, 5_000_000), **profile, **tiles
    ) as dst:
        dst.write(image[:, row : row + size, col : col + size])


def find_valid_square(valid: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Give the first row, first column and side of a square of valid pixels in (H, W)."""
    for size in CHIP_SIZES:
        for row in range(0, valid.shape[0] - size + 1, 64):
            for col in range(0, valid.shape[1] - size + 1, 64):
                if valid[row : row + size, col : col + size].all():
                    return row, col, size
    raise SystemExit(f"the image has no valid square of {CHIP_SIZES[-1]} px: choose another")


def write_repeating_vrt(chip_path: Path, dst_path: Path, *, height: int, width: int) -> None:
    """Describe a scene that repeats a chip, from the top left."""
    with rasterio.open(chip_path) as src:
        size, wkt = src.height, src.crs.to_wkt()
    bands = []
    for number, name in enumerate(BANDS, start=1):
        sources = [
            f'<SimpleSource><SourceFilename relativeToVRT="0">{chip_path}</SourceFilename>'
            f"<SourceBand>{number}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{min(size, width - col)}" ySize="{min(size, height - row)}"/>'
            f'<DstRect xOff="{col}" yOff="{row}" xSize="{min(size, width - col)}" ySize="{min(size, height - row)}"/>'
            "</SimpleSource>"
            for row in range(0, height, size)
            for col in range(0, width, size)
        ]
        head = f'<VRTRasterBand dataType="Byte" band="{number}"><ColorInterp>{name.title()}</ColorInterp>'
        bands.append(f"{head}{''.join(sources)}</VRTRasterBand>")
    dst_path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{wkt}</SRS>'
        f"<GeoTransform>500000, 1, 0, 5000000, 0, -1</GeoTransform>{''.join(bands)}</VRTDataset>"
    )


TABLE_HEAD = (
    "| scene | after one forward | peak while segmenting | peak while finishing | added | segmenting | finishing |\n"
    "|---|---|---|---|---|---|---|"
)


def table_row(run: dict[str, Any]) -> str:
    """Lay out one run; megabytes are 10⁶ bytes."""
    base, engine, finish = run["baseline"] / MB, run["engine"] / MB, run["finish"] / MB
    segmenting = run["facts"]["seconds"]["segment"]
    return (
        f"| {run['height']} × {run['width']} px | {base:.0f} MB | {engine:.0f} MB | {finish:.0f} MB "
        f"| {max(engine, finish) - base:.0f} MB | {segmenting:.0f} s, {run['facts']['mpx_per_s']:.1f} Mpx/s "
        f"| {run['total_s'] - segmenting:.0f} s |"
    )


if __name__ == "__main__":
    main()
