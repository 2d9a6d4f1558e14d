"""What a command printed, as a page for QGIS's results viewer."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path


def write_page(path: Path, title: str, lines: Sequence[str], picture: Path | None) -> None:
    """Write a page with the lines as they were printed, and a picture below.

    Args:
        path: Where (.html).
        title: Of the page.
        lines: What was printed.
        picture: A PNG, which stays where it is; may be None.
    """
    head = html.escape(title, quote=True)
    image = (
        ""
        if picture is None
        else f'<p><img src="{html.escape(picture.absolute().as_uri())}" style="max-width:100%"></p>'
    )
    body = html.escape("\n".join(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{head}</title></head>'
        f"<body><h2>{head}</h2><pre>{body}</pre>{image}</body></html>\n",
        encoding="utf-8",
    )
