"""`geodeeplab check`."""

import sys
from pathlib import Path
from typing import Literal

import click

from geodeeplab.cli.options import local_only_option
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_option, tell_done
from geodeeplab.cli.text import as_options

FAULTY = 3
"""Exit status where the layer was read and has faults."""


class _Width(click.ParamType[float | str]):
    """A width in units of the CRS, or `all`."""

    name = "WIDTH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Read a number."""
        if value == "all":
            return "all"
        try:
            return float(str(value))
        except ValueError:
            self.fail(f"'{value}' is no number, and not 'all'", param, ctx)


@click.command("check")
@click.argument("polygons", type=click.Path(path_type=Path))
@click.option("--layer", metavar="NAME", help="Layer of the file, where there are several.")
@click.option("--class", "classes", metavar="CLASS", multiple=True, help="A class that there may be; once for each.")
@click.option("--model", help="Model file, or name of a bundled one, whose classes there may be.")
@click.option("--class-field", metavar="FIELD", help="Field with the class.  [default: class_name, class_id]")
@click.option("--nullable", metavar="FIELD", multiple=True, help="Another field that may be null.")
@click.option("--crs", metavar="CRS", help="CRS that the layer is to have.")
@click.option("--min-area", type=float, default=0.0, metavar="A", help="Least area, in square units of the CRS.")
@click.option(
    "--spike-degrees", type=float, default=0.1, show_default=True, metavar="D",
    help="Angle of a vertex below which it is a spike.",
)  # fmt: skip
@click.option(
    "--gap-width", type=_Width(),
    help="Holes narrower than this are gaps; all of them, with 'all'.  [default: a tenth of the median edge]",
)  # fmt: skip
@click.option("--faults", type=click.Path(path_type=Path), help="Layer of the faults to write (.gpkg).")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@local_only_option
def command(
    polygons: Path,
    layer: str | None,
    classes: tuple[str, ...],
    model: str | None,
    class_field: str | None,
    nullable: tuple[str, ...],
    crs: str | None,
    min_area: float,
    spike_degrees: float,
    gap_width: float | Literal["all"] | None,
    faults: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Look for faults in the layer POLYGONS before it is delivered.

    Geometries, neighbours (overlaps, gaps, edges that do not match), classes, attributes, CRS, and what the file says
    of itself. The exit status is 0 where nothing is wrong, and 3 where something is.
    """
    from geodeeplab.pipeline.checking.check import check

    with progress_bar("check", unit="features") as progress:
        found = check(
            polygons,
            layer=layer,
            classes=[*classes, *_classes_of(model)] or None,
            class_field=class_field,
            nullable=nullable,
            crs=crs,
            min_area=min_area,
            spike_degrees=spike_degrees,
            gap_width=gap_width,
            faults=faults,
            overwrite=overwrite,
            progress=progress,
        )
    finish_undisturbed()
    tell_done([faults], found.to_dict())
    click.echo(found.to_json() if as_json else as_options(found.table()))
    if not found:
        sys.exit(FAULTY)


def _classes_of(model: str | None) -> list[str]:
    if model is None:
        return []
    from geodeeplab.models import read_contract

    return [one.name for one in read_contract(model).classes]
