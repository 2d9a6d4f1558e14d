"""`geodeeplab change`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from geodeeplab.cli.options import local_only_option, split_names
from geodeeplab.cli.polygon_options import polygon_options
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_option, tell_done

if TYPE_CHECKING:
    from geodeeplab.pipeline.polygon_options import PolygonOptions


@click.command("change")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "-o", "--polygons", type=click.Path(path_type=Path), required=True,
    help="Polygons to write (.gpkg, .parquet, .fgb, .geojson).",
)  # fmt: skip
@click.option(
    "--label-raster", type=click.Path(path_type=Path), help="Label raster of the kinds of change (.tif), to sample."
)
@click.option("--sieve-labels", is_flag=True, help="Apply the minimum area to that raster, too.")
@click.option("--model", help="Model file, or name of a bundled one: BEFORE and AFTER are scenes.")
@click.option("--bands", metavar="B,B,…", help="The scenes' bands for the model's: red,green,blue or 4,3,2.")
@click.option(
    "--shift-px", type=float, default=0.0, show_default=True, metavar="D",
    help="How far an edge may shift without a change, in pixels of BEFORE.",
)  # fmt: skip
@click.option(
    "--map", "classes", metavar="VALUE=CLASS", multiple=True, help="Class of BEFORE that a value of AFTER means."
)
@click.option(
    "--confidence", type=click.Path(path_type=Path), nargs=2, metavar="BEFORE AFTER",
    help="Confidence rasters of both, to summarise the lesser one.",
)  # fmt: skip
@click.option("--aoi", type=click.Path(path_type=Path), help="Vector file with the area of interest, in any CRS.")
@polygon_options
@click.option(
    "--html", type=click.Path(path_type=Path), help="Map for the browser (.html), with a line between the dates."
)
@click.option("--figure", type=click.Path(path_type=Path), help="Picture of the matrix (.png).")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@local_only_option
def command(
    before: Path,
    after: Path,
    polygons: Path,
    label_raster: Path | None,
    sieve_labels: bool,
    model: str | None,
    bands: str | None,
    shift_px: float,
    classes: tuple[str, ...],
    confidence: tuple[Path, Path] | None,
    aoi: Path | None,
    polygon_options: "PolygonOptions",
    html: Path | None,
    figure: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Tell what changed between two maps of one place, the label rasters BEFORE and AFTER.

    Polygons from class to class, and the matrix of transitions. The grids may differ. With --model both are scenes,
    which are segmented first.
    """
    from geodeeplab.cli.evaluate import split_pairs
    from geodeeplab.pipeline.changing.change import change

    with progress_bar("change") as progress:
        found = change(
            before,
            after,
            polygons,
            polygon_options,
            label_raster=label_raster,
            sieve_labels=sieve_labels,
            model=model,
            bands=split_names(bands),
            shift_px=shift_px,
            classes=split_pairs(classes),
            confidence=confidence,
            aoi=aoi,
            figure=figure,
            html=html,
            overwrite=overwrite,
            progress=progress,
        )
    finish_undisturbed()
    tell_done([polygons, label_raster, html, figure], found.to_dict())
    click.echo(found.to_json() if as_json else found.table())
