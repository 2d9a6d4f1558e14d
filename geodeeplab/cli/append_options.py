"""The options that say how polygons are appended to a layer."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option("--append", is_flag=True, help="Add the polygons to the layer in -o, with the scene's name."),
    click.option("--scene-name", metavar="NAME", help="Name of the scene in that layer.  [default: its file's, or id]"),
    click.option("--scene-column", metavar="NAME", help="Column for it.  [default: scene]"),
)


def append_options(command: Command) -> Command:
    """Give a command these options; it takes them as one argument, `append`, None where nothing is appended."""

    @wraps(command)
    def with_options(**arguments: Any) -> Any:  # noqa: ANN401 - click passes what the command declares
        from geodeeplab.pipeline.appending import Append

        is_on = arguments.pop("append")
        stated = {name: arguments.pop(name) for name in ("scene_name", "scene_column")}
        stated = {name: value for name, value in stated.items() if value is not None}
        if stated and not is_on:
            raise click.UsageError("--scene-name and --scene-column need --append")
        return command(append=Append(**stated) if is_on else None, **arguments)

    for option in reversed(OPTIONS):
        with_options = option(with_options)
    return with_options  # type: ignore[return-value]  # the same command, with other arguments
