"""What algorithms ask for that learn from polygons."""

from __future__ import annotations

from .declared import Declared, choice, field, flag, polygons, text

LABELS = "LABELS"


def drawn_polygons(*, optional: bool = False) -> list[Declared]:
    """Ask for polygons, and what they mean."""
    return [
        polygons(LABELS, "Polygons that you have drawn", "--labels", optional=optional),
        field("CLASS_FIELD", "Field that names their class", "--class-field", of=LABELS),
        text("BACKGROUND", "Class of all other ground (needed with polygons of one class)", "--background"),
        polygons("LABELLED", "What was labelled, where that is not all", "--labelled", advanced=True),
        text("CLASS_ORDER", "Classes in the order of their ids, such as water,road", "--classes", advanced=True),
        flag("IGNORE_UNKNOWN", "Ignore label values that no class has", "--ignore-unknown", advanced=True),
    ]


def overlapping() -> list[Declared]:
    """Ask how polygons are burnt."""
    rules = ["last", "smallest", "ignore"]
    return [
        choice("ON_OVERLAP", "Which of overlapping polygons counts", "--on-overlap", rules, advanced=True),
        flag("ALL_TOUCHED", "Polygons cover every pixel they touch", "--all-touched", advanced=True),
    ]
