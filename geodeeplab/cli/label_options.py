"""The options that say what labels mean, which several commands have."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from geodeeplab.cli.options import argument_of, split_names

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option(
        "--class-field", metavar="FIELD", help="Field of the polygons that names their class.  [default: all are one]"
    ),
    click.option("--classes", metavar="C,C,…", help="Classes, in the order of their ids.  [default: all there are]"),
    click.option("--ignore-unknown", is_flag=True, default=None, help="Ignore label values that no class has."),
    click.option("--background", metavar="CLASS", help="Class of ground without a label.  [default: it is ignored]"),
    click.option("--labelled", type=click.Path(), help="Polygons of what was labelled; the rest is ignored."),
    click.option(
        "--on-overlap", type=click.Choice(["last", "smallest", "ignore"]),
        help="Which of overlapping polygons counts.  [default: last]",
    ),
    click.option(
        "--all-touched", is_flag=True, default=None, help="Polygons cover every pixel they touch, not only centres."
    ),
    click.option("--layer", metavar="NAME", help="Layer of the labels' file, where there are several."),
    click.option(
        "--labels-encoding", metavar="NAME", help="Encoding of their text, such as cp1252.  [default: as stated]"
    ),
)  # fmt: skip
NAMES = tuple(argument_of(option) for option in OPTIONS)


def label_options(command: Command) -> Command:
    """Give a command these options; it takes those that were told as one argument, `label_options`.

    They are the keywords of `prepare_data`, whose defaults hold for the rest.
    """

    @wraps(command)
    def with_options(**arguments: Any) -> Any:  # noqa: ANN401 - click passes what the command declares
        stated = {name: arguments.pop(name) for name in NAMES}
        stated["classes"] = split_names(stated["classes"])
        told = {name: value for name, value in stated.items() if value is not None}
        return command(label_options=told, **arguments)

    for option in reversed(OPTIONS):
        with_options = option(with_options)
    return with_options  # type: ignore[return-value]  # the same command, with other arguments
