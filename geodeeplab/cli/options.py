"""What several commands share: how lists of bands are written, and the progress bar."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn

from geodeeplab.cli.process import check_interruption

if TYPE_CHECKING:
    from geodeeplab.pipeline.segment import Progress


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
