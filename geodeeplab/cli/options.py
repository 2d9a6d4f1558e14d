"""What several commands share: how lists of bands are written, and the progress bar."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geodeeplab.pipeline.segment import Progress


def split_names(text: str | None) -> list[str] | None:
    """Split `red,green,blue` or `4,3,2` at the commas."""
    return None if text is None else [part.strip() for part in text.split(",")]


@contextmanager
def progress_bar(*, shown: bool | None = None) -> Iterator["Progress"]:
    """Lend a callback that draws one bar in megapixels on stderr; by default only on a terminal."""
    from tqdm import tqdm

    hidden = not (sys.stderr.isatty() if shown is None else shown)
    with tqdm(unit="Mpx", unit_scale=False, disable=hidden, bar_format=BAR_FORMAT, leave=False) as bar:

        def update(done: int, total: int) -> None:
            bar.total = round(total / 1e6, 3)
            bar.update(done / 1e6 - bar.n)

        yield update


BAR_FORMAT = "{l_bar}{bar}| {n:.1f}/{total:.1f} Mpx [{elapsed}<{remaining}, {rate_fmt}]"
