"""`geodeeplab vectorize`."""

from pathlib import Path

import click


@click.command("vectorize")
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Polygons to write (.gpkg).")
@click.option("--band", type=click.IntRange(min=1), default=1, show_default=True, help="Band of the labels.")
@click.option("--connectivity", type=click.Choice(["4", "8"]), default="4", show_default=True)
@click.option("--nodata", type=int, help="Label that gets no polygon.  [default: the raster's nodata value, else 0]")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
def command(labels: Path, output: Path, band: int, connectivity: str, nodata: int | None, overwrite: bool) -> None:
    """Trace the classes of the label raster LABELS into polygons."""
    from geodeeplab.pipeline.vectorize import vectorize

    written = vectorize(
        labels, output, band=band, connectivity=8 if connectivity == "8" else 4, nodata=nodata, overwrite=overwrite
    )
    click.echo(written)
