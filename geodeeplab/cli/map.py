"""`geodeeplab map`."""

from pathlib import Path

import click

from geodeeplab.cli.options import local_only_option, split_names
from geodeeplab.cli.progress import progress_option, tell_done


@click.command("map")
@click.argument("results", metavar="RESULT...", nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Map to write (.html).")
@click.option("--scene", help="Scene to show.  [default: the RESULT that is an image]")
@click.option("--before", help="The earlier of two dates, scenes or label rasters, with a line to drag between them.")
@click.option("--after", help="The later one.")
@click.option("--labels", help="Label raster.  [default: the RESULT that is one]")
@click.option("--confidence", help="Raster of confidence.  [default: the RESULT that is one]")
@click.option("--polygons", help="Polygons.  [default: the RESULT that is a vector file]")
@click.option("--truth", help="What is true: a label raster, or polygons, drawn as outlines.")
@click.option("--class-field", metavar="FIELD", help="Field of the polygons with their class.  [default: class_name]")
@click.option("--truth-field", metavar="FIELD", help="The same of the truth's polygons.")
@click.option("--draw", metavar="CLASS,CLASS...", help="Classes whose polygons can be drawn on the map, and saved.")
@click.option("--suggestions", help="Polygons where to draw, such as `adapt --suggest` writes, to be ticked off.")
@click.option("--basemap", type=click.Choice(["osm", "satellite"]), help="Tiles that the browser asks for.")
@click.option("--title", help="What the page is called.  [default: the scene's name]")
@click.option(
    "--max-size", type=click.IntRange(min=64, max=8192), default=2048, show_default=True,
    help="Pixels of the longer side of the pictures.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@progress_option
@local_only_option
def command(
    results: tuple[str, ...],
    output: Path,
    scene: str | None,
    before: str | None,
    after: str | None,
    labels: str | None,
    confidence: str | None,
    polygons: str | None,
    truth: str | None,
    class_field: str | None,
    truth_field: str | None,
    draw: str | None,
    suggestions: str | None,
    basemap: str | None,
    title: str | None,
    max_size: int,
    overwrite: bool,
) -> None:
    """Make one HTML file of scene, labels, confidence and polygons that any browser opens, without a connection.

    What each RESULT is, is told from what is in it; the options say it where that cannot be told. With --draw, polygons
    can be drawn on the map and saved for `adapt` and `train`.
    """
    from geodeeplab.maps.web import Map, tell_kinds

    told = tell_kinds(results)
    made = Map(
        scene or told.scene,
        before=before,
        after=after,
        labels=labels or told.labels,
        confidence=confidence or told.confidence,
        polygons=polygons or told.polygons,
        truth=truth,
        class_field=class_field,
        truth_field=truth_field,
        draw=split_names(draw) or (),
        suggestions=suggestions,
        basemap=basemap,
        title=title,
        max_size=max_size,
    )
    path = made.save(output, overwrite=overwrite)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    tell_done([path], None)
