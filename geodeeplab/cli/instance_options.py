"""The options that say of which classes objects become polygons of their own where they touch."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import click

from geodeeplab.cli.options import split_names

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option(
        "--instances", metavar="CLASS,…", help="Classes whose objects are polygons of their own, if they touch."
    ),
    click.option(
        "--boundary-threshold", type=float, help="Markers of objects are less likely boundaries.  [default: 0.4]"
    ),
    click.option("--min-marker-px", type=int, metavar="N", help="Pixels of a marker, at least.  [default: 16]"),
)


def instance_options(command: Command) -> Command:
    """Give a command with `polygon_options`, which stands above this, these options; they go into the same argument."""

    @wraps(command)
    def with_options(**arguments: Any) -> Any:  # noqa: ANN401 - click passes what the command declares
        stated: dict[str, Any] = {"instances": split_names(arguments.pop("instances"))}
        stated |= {name: arguments.pop(name) for name in ("boundary_threshold", "min_marker_px")}
        stated = {name: value for name, value in stated.items() if value is not None}
        arguments["polygon_options"] = replace(arguments["polygon_options"], **stated)
        return command(**arguments)

    for option in reversed(OPTIONS):
        with_options = option(with_options)
    return with_options  # type: ignore[return-value]  # the same command, with other arguments
