"""Figures of one's own, apart from pyplot's: notebooks show them, and nobody has to close them."""

from typing import TYPE_CHECKING

from geodeeplab.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
