"""Which class each value or colour in the label files of a chip folder stands for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import OptionError
from geodeeplab.models import ModelClass
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.scenes.class_table import (
    ClassesLike,
    ClassMapping,
    Color,
    FoundValue,
    make_class_table,
    value_text,
)


@dataclass(frozen=True, kw_only=True)
class ListedClass:
    """A class that a folder of chips itself names."""

    value: int
    """Label value, 0 or more."""
    name: str
    """Its name."""
    color: Color | None
    """Red, green, blue, 0 to 255; None where it has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelCode:
    """What label values, or label colours, mean."""

    is_color: bool
    """Whether codes are colours, red × 65536 + green × 256 + blue, rather than values."""
    codes: npt.NDArray[np.int64]
    """Values or colours that are known, ascending."""
    indices: npt.NDArray[np.uint8]
    """Class index of each code; `IGNORE_INDEX` for those to be ignored."""
    background: int
    """Class index of ground without a label; `IGNORE_INDEX` where it is ignored."""
    ignores_unknown: bool
    """Whether any other code is to be ignored, too; else it is an error."""

    def decode(self, codes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Give the class index of each code, `IGNORE_INDEX` where it has none, and tell which are unknown."""
        if not len(self.codes):
            return np.full(codes.shape, IGNORE_INDEX, dtype=np.uint8), np.ones(codes.shape, dtype=bool)
        place = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        unknown = self.codes[place] != codes
        return np.where(unknown, np.uint8(IGNORE_INDEX), self.indices[place]), unknown

    def values_of(self, classes: Sequence[ModelClass]) -> dict[str, list[int]]:
        """Give the label values of each class by its name; none of classes that are told by colours."""
        if self.is_color:
            return {}
        pairs = list(zip(self.codes.tolist(), self.indices.tolist(), strict=True))
        return {item.name: [code for code, at in pairs if at == index] for index, item in enumerate(classes)}


def make_label_code(
    listed: Sequence[ListedClass],
    *,
    class_mapping: ClassMapping | None = None,
    classes: ClassesLike | None = None,
    background: str | None = None,
    ignore_unknown: bool = False,
    zero_is_unlabelled: bool = False,
) -> tuple[tuple[ModelClass, ...], LabelCode]:
    """Join what the caller says of the labels with what the folder says, into classes and their code.

    Args:
        listed: classes that the folder names.
        class_mapping: the class's name for a label value, for a colour, or for the name of a listed class; None: to be
            ignored. It changes and adds to the listed classes if its keys are values or names; colours stand for
            themselves. Keys may be text: "3", "60,16,152", "#3c1098".
        classes: which classes there are, in this order; without a mapping and listed classes those of values 1, 2, ...
        background: name of the class of ground without a label.
        ignore_unknown: values or colours without a class are to be ignored, those of listed classes that `classes`
            leaves out included.
        zero_is_unlabelled: value 0 is ground without a label unless it has a class.

    Raises:
        OptionError: keys are mixed or unknown, or there is no class or too many.
    """
    keys = {parse_key(key): name for key, name in (class_mapping or {}).items()}
    is_color = _have_colors(keys)
    names: dict[int, str | None] = {} if is_color else {item.value: item.name for item in listed}
    for key, name in keys.items():
        codes = [color_code(key)] if isinstance(key, tuple) else [key] if isinstance(key, int) else _values(key, listed)
        names.update(dict.fromkeys(codes, name))
    if not names and classes is not None:
        names = {value: str(value) for value in range(1, len(classes) + 1)}
    own = {} if is_color else {item.value: item.color for item in listed}
    texts = {code: describe_code(code, is_color=is_color) for code in names}
    table = make_class_table(
        [
            FoundValue(value=texts[code], name=name or texts[code], color=_color(code) if is_color else own.get(code))
            for code, name in names.items()
        ],
        classes=classes,
        class_mapping={texts[code]: name for code, name in names.items()} if keys or listed else None,
        background=background,
        counts_from_one=True,
    )
    unknown = {one.value for one in table.unknown}
    index = {code: table.index_of[text] for code, text in texts.items() if text not in unknown}
    if zero_is_unlabelled and not is_color and 0 not in names:
        index[0] = table.background
    return table.classes, LabelCode(
        is_color=is_color,
        codes=np.array(sorted(index), dtype=np.int64),
        indices=np.array([index[code] for code in sorted(index)], dtype=np.uint8),
        background=table.background,
        ignores_unknown=ignore_unknown,
    )


def parse_key(key: object) -> int | Color | str:
    """Read a key of a class mapping: a value, a colour or a name.

    Raises:
        OptionError: it is none of these.
    """
    if isinstance(key, str):
        text = key.strip()
        if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
        numbers: Sequence[Any] = re.findall(r"\d+", text) if re.fullmatch(r"[\d\s,()]+", text) else ()
        if len(numbers) not in (1, 3):
            return text
        key = int(numbers[0]) if len(numbers) == 1 else tuple(int(number) for number in numbers)
    if isinstance(key, int | np.integer) and not isinstance(key, bool) and key >= 0:
        return int(key)
    if isinstance(key, tuple | list) and len(key) == 3 and all(0 <= int(part) <= 255 for part in key):
        return int(key[0]), int(key[1]), int(key[2])
    raise OptionError(
        "a key of `class_mapping=` is a label value (0 or more), a colour (red, green, blue) of 0 to 255 each, or the "
        f"name of a class, not {key!r}: correct it"
    )


def color_code(color: Color) -> int:
    """Give the code of a colour."""
    return color[0] << 16 | color[1] << 8 | color[2]


def describe_code(code: int, *, is_color: bool) -> str:
    """Write a code down as a key of a class mapping: `3`, or `60,16,152`."""
    return value_text(_color(code) if is_color else code)


def _color(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255


def _have_colors(keys: Mapping[int | Color | str, str | None]) -> bool:
    are_colors = {isinstance(key, tuple) for key in keys}
    if len(are_colors) > 1:
        raise OptionError(
            "keys of `class_mapping=` are all label values and names, or all colours (red, green, blue), not "
            f"{', '.join(map(str, keys))}: use one kind"
        )
    return True in are_colors


def _values(name: str, listed: Sequence[ListedClass]) -> list[int]:
    """Give the values of a listed class."""
    values = [item.value for item in listed if item.name == name]
    if not values:
        there = ", ".join(dict.fromkeys(item.name for item in listed))
        raise OptionError(
            f"`class_mapping=` has the class '{name}', which the labels do not name"
            + (f": theirs are {there}" if there else ": use label values or colours (red, green, blue) as keys")
        )
    return values
