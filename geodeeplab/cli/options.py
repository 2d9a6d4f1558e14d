"""What several commands share: how lists of bands and pixel sizes are written, and which files may be read."""

from collections.abc import Callable
from typing import Any, Literal

import click


def _enter_local_only(ctx: click.Context, _: click.Parameter, is_on: bool) -> None:
    if is_on and not ctx.resilient_parsing:
        from geodeeplab.raster.sources.local_only import local_files_only

        ctx.with_resource(local_files_only())


local_only_option = click.option(
    "--local-only",
    is_flag=True,
    expose_value=False,
    callback=_enter_local_only,
    help="Read no URLs, and no files outside the folders of those that are named.",
)
"""For every command that opens what users name; it holds while the command runs."""


def read_metres(ctx: click.Context, param: click.Parameter, text: str | None) -> float | Literal["native"] | None:
    """Read a pixel size in metres, or `native`; other words are refused as those are that are no numbers."""
    if text is None:
        return None
    return "native" if text == "native" else float(click.FLOAT(text, param, ctx))


def split_names(text: str | None) -> list[str] | None:
    """Split `red,green,blue` or `4,3,2` at the commas."""
    return None if text is None else [part.strip() for part in text.split(",")]


def argument_of(option: Callable[[Callable[..., Any]], Callable[..., Any]]) -> str:
    """Give the name of the argument that an option becomes."""

    def command() -> None: ...

    option(command)
    return str(command.__click_params__[0].name)  # type: ignore[attr-defined]
