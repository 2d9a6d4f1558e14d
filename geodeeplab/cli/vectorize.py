"""`geodeeplab vectorize`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geodeeplab.cli.instance_options import instance_options
from geodeeplab.cli.options import local_only_option
from geodeeplab.cli.polygon_options import polygon_options
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_option, tell_done

if TYPE_CHECKING:
    from geodeeplab.pipeline.polygon_options import PolygonOptions


@click.command("vectorize")
@click.argument("label_raster", metavar="LABELS", type=click.Path(path_type=Path))
@click.option(
    "-o", "--polygons", type=click.Path(path_type=Path), required=True,
    help="Polygons to write (.gpkg, .parquet, .fgb, .geojson).",
)  # fmt: skip
@click.option("--confidence", type=click.Path(path_type=Path), help="Raster of 0–100 on the same grid, to summarise.")
@click.option(
    "--boundary", type=click.Path(path_type=Path), help="Raster of boundaries on the same grid, for --instances."
)
@click.option("--band", type=click.IntRange(min=1), default=1, show_default=True, help="Band of the labels.")
@click.option("--nodata", type=int, help="Label that gets no polygon.  [default: the raster's nodata value, else 0]")
@polygon_options
@instance_options
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the run's facts as JSON on stdout.")
@local_only_option
def command(
    label_raster: Path,
    polygons: Path,
    confidence: Path | None,
    boundary: Path | None,
    band: int,
    nodata: int | None,
    polygon_options: "PolygonOptions",
    overwrite: bool,
    as_json: bool,
) -> None:
    """Trace the classes of the label raster LABELS into polygons: exactly, or simplified."""
    from geodeeplab.pipeline.vectorize import vectorize

    with progress_bar("vectorize") as progress:
        facts = vectorize(
            label_raster,
            polygons,
            polygon_options,
            confidence=confidence,
            boundary=boundary,
            band=band,
            nodata=nodata,
            overwrite=overwrite,
            progress=progress,
        ).facts
    finish_undisturbed()
    tell_done([polygons], facts)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    height, width = facts["shape"]
    seconds = facts["seconds"]["total"]
    click.echo(f"{polygons}: {facts['polygons']} polygons of {width} × {height} px in {seconds:.1f} s")
