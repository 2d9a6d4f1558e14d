"""Which value of the labels is which class: names, numbers and colours, as the labels or the caller say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.models import ModelClass
from geodeeplab.raster.classes import some_color
from geodeeplab.raster.polygons.class_text import class_text, listed
from geodeeplab.training.chip import IGNORE_INDEX

MOST_LISTED = 12
"""As many values as a message lists, those that occur most often."""

Color = tuple[int, int, int]
ClassesLike = Sequence[str] | Sequence[ModelClass] | Mapping[str, Color]
"""Names in order; classes with id, name and colour; or names with colours."""
ClassMapping = Mapping[Any, str | None]
"""The class's name for a value of the labels (a number, text, or red, green, blue); None: ignore it."""

MOST_CLASSES = 254
BACKGROUND_COLOR = (200, 200, 190)
"""Of ground without a label, where nothing else says its colour."""


@dataclass(frozen=True, kw_only=True)
class FoundValue:
    """One value of the labels."""

    value: str
    """The value as text: a whole number, a name, or red, green, blue as `r,g,b`."""
    name: str
    """What the labels call it; the value itself where they have no name for it."""
    color: Color | None = None
    """Its colour, where the labels have one."""
    count: int = 0
    """Pixels or polygons of it, where they were counted."""
    where: str = ""
    """The first labels that hold it, as messages name them."""


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """Classes, and the index of the class of each value."""

    classes: tuple[ModelClass, ...]
    """In the order of the indices."""
    index_of: Mapping[str, int]
    """Class index of each value, as text; `IGNORE_INDEX` for those that are to be ignored."""
    unknown: tuple[FoundValue, ...]
    """Values that no class has and nobody said to ignore; `index_of` has `IGNORE_INDEX` for them."""
    background: int
    """Class index of ground without a label; `IGNORE_INDEX` where it is ignored."""


def value_text(value: object) -> str:
    """Give a value of labels as text: as `class_text` does, and colours as `r,g,b`."""
    return ",".join(str(int(part)) for part in value) if isinstance(value, tuple | list) else class_text(value)


def make_class_table(
    found: Sequence[FoundValue],
    *,
    classes: ClassesLike | None = None,
    class_mapping: ClassMapping | None = None,
    background: str | None = None,
    counts_from_one: bool = False,
) -> ClassTable:
    """Decide on the classes.

    Args:
        found: the values of the labels.
        classes: which classes there are, in this order; by default all that occur, in the order of `found`.
        class_mapping: names of values; by default what the labels call them. With it, values that it does not have and
            that are not called by a class's name are unknown.
        background: name of the class of ground without a label; added as the last one if it is none of the others.
        counts_from_one: names in `classes` are those of the values 1, 2, ... where the labels have no names.

    Raises:
        OptionError: there is no class, there are too many, or a name occurs twice.
    """
    stated = _stated(classes)
    mapping = None if class_mapping is None else {value_text(key): name for key, name in class_mapping.items()}
    names = {one.value: _name(one, stated, mapping, counts_from_one) for one in found}
    wanted = list(stated) if classes is not None else list(dict.fromkeys(name for name in names.values() if name))
    if mapping and classes is None:  # classes that occur nowhere in these labels are classes, too
        wanted += [name for name in dict.fromkeys(mapping.values()) if name and name not in wanted]
    if background is not None and background not in wanted:
        wanted.append(background)
    if not 1 <= len(wanted) <= MOST_CLASSES:
        raise OptionError(
            f"labels have 1 to {MOST_CLASSES} classes, not {len(wanted)} of {len(found)} values: choose the class "
            "field, or name the values in `class_mapping=`"
        )
    index = {name: number for number, name in enumerate(wanted)}
    index_of = {value: IGNORE_INDEX if name is None else index.get(name, IGNORE_INDEX) for value, name in names.items()}
    unknown = tuple(one for one in found if index_of[one.value] == IGNORE_INDEX and not _is_ignored(one.value, mapping))
    return ClassTable(
        classes=_model_classes(wanted, stated, found, names, background),
        index_of=index_of,
        unknown=unknown,
        background=IGNORE_INDEX if background is None else index[background],
    )


def _stated(classes: ClassesLike | None) -> dict[str, ModelClass | Color | None]:
    """Give what the caller says of each class, by name.

    Raises:
        OptionError: a name occurs twice, or it is no list of classes.
    """
    if classes is None:
        return {}
    if isinstance(classes, str):
        raise OptionError(f"classes are a list of names, got {classes!r}: give e.g. ['water', 'forest']")
    if isinstance(classes, Mapping):
        return dict(classes)
    pairs = [(one.name, one) if isinstance(one, ModelClass) else (str(one), None) for one in classes]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise OptionError(f"every class has a name of its own, not {', '.join(names)}: leave out the doubles")
    return dict(pairs)


def _name(
    one: FoundValue,
    stated: Mapping[str, ModelClass | Color | None],
    mapping: Mapping[str, str | None] | None,
    counts_from_one: bool,
) -> str | None:
    """Name the class of a value; None for no class."""
    if mapping is not None:
        if one.value in mapping:
            return mapping[one.value]
        return one.name if one.name in stated else None
    if one.name in stated or not stated:
        return one.name
    by_id = {str(item.id): name for name, item in stated.items() if isinstance(item, ModelClass)}
    if not by_id and counts_from_one and one.name == one.value and one.value.isdecimal():
        by_id = {str(number): name for number, name in enumerate(stated, start=1)}
    return by_id.get(one.value)


def _is_ignored(value: str, mapping: Mapping[str, str | None] | None) -> bool:
    """Tell whether the caller said to ignore a value."""
    return value == "" or (mapping is not None and value in mapping and mapping[value] is None)


def _model_classes(
    wanted: Sequence[str],
    stated: Mapping[str, ModelClass | Color | None],
    found: Sequence[FoundValue],
    names: Mapping[str, str | None],
    background: str | None,
) -> tuple[ModelClass, ...]:
    """Give the classes their ids (the values themselves where those can be ids) and colours."""
    given = [stated.get(name) for name in wanted]
    ids = [item.id if isinstance(item, ModelClass) else None for item in given]
    if None in ids:
        ids = _ids([[one.value for one in found if names[one.value] == name] for name in wanted])
    colors: dict[str | None, Color] = {background: BACKGROUND_COLOR}
    colors |= {names[one.value]: one.color for one in reversed(found) if one.color is not None}
    return tuple(
        ModelClass(id=int(number), name=name, color=_color(item, colors.get(name), position))
        for position, (number, name, item) in enumerate(zip(ids, wanted, given, strict=True), start=1)
        if number is not None
    )


def _ids(values: Iterable[Sequence[str]]) -> list[int | None]:
    """Number classes by their values if each has one from 1 to 255, or none, else from 1."""
    values = list(values)
    plain = [one[0] for one in values if len(one) == 1 and one[0].isdecimal() and 1 <= int(one[0]) <= 255]
    if not plain or any(len(one) > 1 or (one and one[0] not in plain) for one in values):
        return list(range(1, len(values) + 1))
    taken = {int(one) for one in plain}
    free = iter(number for number in range(1, 256) if number not in taken)
    return [int(one[0]) if one else next(free) for one in values]


def _color(stated: ModelClass | Color | None, found: Color | None, position: int) -> Color:
    """Give the colour that the caller says, that the labels say, or one that differs from the neighbours'."""
    if isinstance(stated, ModelClass):
        return stated.color
    return stated or found or some_color(position)


def unknown_values(
    found: str,
    classes: Sequence[ModelClass],
    *,
    first_in: str,
    what: Literal["values", "colours"] = "values",
    loss: str | None = None,
) -> SceneError:
    """Give the error for label values that no class has.

    Args:
        found: the values and how often each occurs, as `list_counts` gives it.
        classes: the classes that there are.
        first_in: labels that hold one.
        what: what labels hold.
        loss: the compression with loss that may have made them.
    """
    made = f" the labels are compressed with loss ({loss}), which makes such {what}: make them again without, or"
    return SceneError(
        f"labels have {what} without a class, first in '{first_in}': {found}; the classes are "
        f"{listed([item.name for item in classes])}:{made if loss else ''} name the {what} in `class_mapping=` "
        "(None: ignored) or `classes=`, or ignore all of them (`ignore_unknown=True`)"
    )


def list_counts(counts: Mapping[str, int], *, unit: Literal["px", "polygons"] = "px") -> str:
    """List values for a message with how many pixels or polygons have each, the most frequent ones first."""
    often = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = [f"{value} in {count} {unit.removesuffix('s') if count == 1 else unit}" for value, count in often]
    more = f" and {len(shown) - MOST_LISTED} more" if len(shown) > MOST_LISTED else ""
    return ", ".join(shown[:MOST_LISTED]) + more
