"""Label values that no class has: refused in the same words, whatever the labels are.

A value that is ignored because nobody thought of it hides a wrong legend, so values are ignored only where the caller
says so. Nodata, and 0 where it is ground without a label, are no values.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from geodeeplab.errors import SceneError
from geodeeplab.models import ModelClass
from geodeeplab.raster.polygon_layer import listed

MOST_LISTED = 12
"""As many values as a message lists, those that occur most often."""


def unknown_values(
    found: str, classes: Sequence[ModelClass], *, first_in: str, what: Literal["values", "colours"] = "values"
) -> SceneError:
    """Give the error for label values that no class has.

    Args:
        found: the values and how often each occurs, as `list_counts` gives it.
        classes: the classes that there are.
        first_in: labels that hold one.
        what: what labels hold.
    """
    return SceneError(
        f"labels have {what} without a class, first in '{first_in}': {found}; the classes are "
        f"{listed([item.name for item in classes])}: name the {what} in class_mapping (None: ignored) or classes, or "
        "ignore all of them (ignore_unknown=True, --ignore-unknown)"
    )


def list_counts(counts: Mapping[str, int], *, unit: Literal["px", "polygons"] = "px") -> str:
    """List values for a message with how many pixels or polygons have each, the most frequent ones first."""
    often = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = [f"{value} in {count} {unit.removesuffix('s') if count == 1 else unit}" for value, count in often]
    more = f" and {len(shown) - MOST_LISTED} more" if len(shown) > MOST_LISTED else ""
    return ", ".join(shown[:MOST_LISTED]) + more
