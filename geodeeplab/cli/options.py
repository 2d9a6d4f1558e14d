"""What several commands share: how lists of bands are written, and the progress bar."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from geodeeplab.cli.process import check_interruption

if TYPE_CHECKING:
    from geodeeplab.pipeline.segment import Progress


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


def split_names(text: str | None) -> list[str] | None:
    """Split `red,green,blue` or `4,3,2` at the commas."""
    return None if text is None else [part.strip() for part in text.split(",")]


@contextmanager
def progress_bar(*, shown: bool | None = None) -> Iterator["Progress"]:
    """Lend a callback that draws a bar in megapixels on stderr, by default only on a terminal; it hears Ctrl-C too."""
    from tqdm import tqdm

    hidden = not (sys.stderr.isatty() if shown is None else shown)
    with ExitStack() as stack:
        bar: tqdm[NoReturn] | None = None

        def update(done: int, total: int) -> None:
            nonlocal bar
            check_interruption()
            if bar is None:  # the total is known now, and the format needs it
                bar = tqdm(total=total / 1e6, unit="Mpx", disable=hidden, bar_format=BAR_FORMAT, leave=False)
                stack.enter_context(bar)
            bar.update(done / 1e6 - bar.n)

        yield update


BAR_FORMAT = "{l_bar}{bar}| {n:.1f}/{total:.1f} Mpx [{elapsed}<{remaining}, {rate_noinv_fmt}]"
