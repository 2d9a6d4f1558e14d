"""`geodeeplab chips`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geodeeplab.cli.label_options import label_options
from geodeeplab.cli.options import local_only_option, split_names
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_option, tell_done

if TYPE_CHECKING:
    from geodeeplab.training.folders.chip_files import ImageFormat
    from geodeeplab.training.writing.write_chips import Layout


@click.command("chips")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option(
    "--labels", multiple=True, required=True,
    help="Polygons or label raster: one for all scenes, or the option again for each.",
)  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--format", "layout", type=click.Choice(["esri", "pairs"]), default="esri", show_default=True)
@click.option("--image-format", type=click.Choice(["tif", "png", "jpg"]), default="tif", show_default=True)
@click.option("--tile-size", type=int, default=512, show_default=True, help="Pixels of a chip along each axis.")
@click.option("--stride", type=int, help="Pixels from one chip to the next.  [default: the tile size]")
@click.option("--rotation", type=float, default=0.0, metavar="DEGREES", help="Write each chip turned by it, too.")
@click.option(
    "--min-labelled", type=float, default=0.0, metavar="SHARE", help="Least share of a chip that is labelled."
)
@click.option("--max-nodata", type=float, default=1.0, metavar="SHARE", help="Greatest share without data.")
@click.option("--keep-unlabelled", is_flag=True, help="Write chips without any label, too.")
@label_options
@click.option("--bands", metavar="B,B,…", help="Bands to write: red,green,blue or 4,3,2.  [default: all]")
@click.option("--gsd-m", type=float, metavar="METRES", help="Pixel size of the chips.  [default: the scenes']")
@click.option("--overwrite", is_flag=True, help="Replace a folder of chips that exists.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the run's facts as JSON on stdout.")
@local_only_option
def command(
    scenes: tuple[str, ...],
    labels: tuple[str, ...],
    output: Path,
    layout: "Layout",
    image_format: "ImageFormat",
    tile_size: int,
    stride: int | None,
    rotation: float,
    min_labelled: float,
    max_nodata: float,
    keep_unlabelled: bool,
    label_options: Mapping[str, Any],
    bands: str | None,
    gsd_m: float | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Cut SCENEs and their labels into a folder of chips, each scene for itself.

    Training with GeoDeepLab does not need them; other programs do.
    """
    from geodeeplab.raster.sources.opening import check_is_there

    for scene in scenes:
        check_is_there(scene)
    from geodeeplab.training.writing.export_chips import export_chips  # loads torch

    with progress_bar("chips") as progress:
        facts = export_chips(
            list(scenes),
            labels[0] if len(labels) == 1 else list(labels),
            output,
            **label_options,
            bands=split_names(bands),
            gsd_m=gsd_m,
            tile_size=tile_size,
            stride=stride,
            rotation=rotation,
            min_labelled=min_labelled,
            max_nodata=max_nodata,
            keep_unlabelled=keep_unlabelled,
            layout=layout,
            image_format=image_format,
            overwrite=overwrite,
            progress=progress,
        )
    finish_undisturbed()
    tell_done([output], facts)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    left_out = sum(facts["left_out"].values())
    pixels = sum(facts["class_pixels"].values())
    shares = ", ".join(f"{name} {n / max(1, pixels):.1%}" for name, n in facts["class_pixels"].items())
    click.echo(
        f"{output}: {facts['chips']} chips of {tile_size} × {tile_size} px in {facts['seconds']:.1f} s"
        f"{f', {left_out} left out' if left_out else ''} ({shares})"
    )
