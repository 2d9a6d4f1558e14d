"""Figures of one's own, apart from pyplot's: notebooks show them, and nobody has to close them."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from geodeeplab.errors import OptionError
from geodeeplab.raster import atomic_outputs, check_not_inputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FilePath = str | os.PathLike[str]


def require_matplotlib() -> None:
    """Refuse to draw without matplotlib.

    Raises:
        OptionError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise OptionError("figures need matplotlib: pip install 'geodeeplab[train]'") from error


def new_figure(width: float, height: float) -> "Figure":
    """Make a figure of so many inches.

    Raises:
        OptionError: matplotlib is not installed.
    """
    require_matplotlib()
    from geodeeplab.maps.shown_figure import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained")


def save_figure(
    figure: "Figure", dst_path: FilePath | None, *, dpi: int, is_tight: bool = True, inputs: Iterable[FilePath] = ()
) -> "Figure":
    """Write a figure, if it is wanted, and give it back; a file that is there is replaced, but never an input.

    Raises:
        OptionError: it is one.
        OutputError: it cannot be written.
    """
    if dst_path is None:
        return figure
    path = Path(dst_path)
    if not path.suffix:  # as matplotlib has it
        path = path.with_name(f"{path.name}.png")
    check_not_inputs([path], inputs)
    with atomic_outputs([path], overwrite=True) as temporary:
        figure.savefig(temporary[path], dpi=dpi, bbox_inches="tight" if is_tight else None)
    return figure


def in_notebook() -> bool:
    """Say whether a notebook's kernel runs this; that its package was imported is not enough."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def show_below_cell(figure: "Figure") -> None:
    """Show a figure below the cell that runs; nothing outside of notebooks."""
    if in_notebook():
        import_module("IPython.display").display(figure)
