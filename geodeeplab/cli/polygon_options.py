"""The options that say what polygons look like, which several commands have."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from geodeeplab.cli.options import split_names

if TYPE_CHECKING:
    from geodeeplab.pipeline.polygon_options import MinimumArea

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option("--tolerance-m", type=float, metavar="T", help="Simplify lines, within T metres of the outline."),
    click.option("--tolerance-px", type=float, metavar="T", help="The same in pixels; 1 makes lines of staircases."),
    click.option(
        "--simplify", type=click.Choice(["vw", "dp"]), default="vw", show_default=True,
        help="Visvalingam–Whyatt or Douglas–Peucker.",
    ),
    click.option("--smooth", is_flag=True, help="Round corners off, within the tolerance."),
    click.option("--keep-outline", is_flag=True, help="Leave the lines to nodata as they are."),
    click.option("--square", metavar="C,C,…", help="Classes whose polygons get right angles and straight walls."),
    click.option(
        "--square-tolerance-px", type=float, default=1.5, show_default=True, metavar="T",
        help="Keep these within T pixels of the outline.",
    ),
    click.option(
        "--min-area-m2", metavar="A|CLASS=A,…",
        help="Merge polygons below A m² into the neighbour with the longest border.",
    ),
    click.option("--min-area-px", metavar="A|CLASS=A,…", help="The same in pixels."),
    click.option("--fill-holes", is_flag=True, help="Let holes of nodata below that area fill up."),
    click.option(
        "--connectivity", type=click.Choice(["4", "8"]), default="4", show_default=True,
        help="Whether pixels that touch at a corner only are one polygon (8).",
    ),
    click.option("--max-vertices", type=int, metavar="N", help="Cut polygons with more vertices into parts."),
    click.option("--layer-name", metavar="NAME", default="landcover", show_default=True, help="Name of the layer."),
    click.option("--out-crs", metavar="CRS", help="CRS of the polygons.  [default: the raster's]"),
)  # fmt: skip


def polygon_options(command: Command) -> Command:
    """Give a command these options; it takes them as one argument, `polygon_options`."""

    @wraps(command)
    def with_options(**arguments: Any) -> Any:  # noqa: ANN401 - click passes what the command declares
        from geodeeplab.pipeline.polygon_options import PolygonOptions

        options = PolygonOptions(
            tolerance_m=arguments.pop("tolerance_m"),
            tolerance_px=arguments.pop("tolerance_px"),
            simplify=arguments.pop("simplify"),
            smooth=arguments.pop("smooth"),
            keep_outline=arguments.pop("keep_outline"),
            square=tuple(split_names(arguments.pop("square")) or ()),
            square_tolerance_px=arguments.pop("square_tolerance_px"),
            min_area_m2=parse_area(arguments.pop("min_area_m2")),
            min_area_px=parse_area(arguments.pop("min_area_px")),
            fill_holes=arguments.pop("fill_holes"),
            connectivity=8 if arguments.pop("connectivity") == "8" else 4,
            max_vertices=arguments.pop("max_vertices"),
            layer_name=arguments.pop("layer_name"),
            out_crs=arguments.pop("out_crs"),
        )
        return command(polygon_options=options, **arguments)

    for option in reversed(OPTIONS):
        with_options = option(with_options)
    return with_options  # type: ignore[return-value]  # the same command, with other arguments


def parse_area(text: str | None) -> "MinimumArea | None":
    """Read `50`, or `building=20,water=500`.

    Raises:
        OptionError: for anything else.
    """
    from geodeeplab.errors import OptionError

    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.rpartition("=") for part in text.split(",")]
        return {name.strip(): float(area) for name, _, area in pairs}
    except ValueError:
        raise OptionError(f"a minimum area is a number, or CLASS=NUMBER,…, not {text!r}") from None
