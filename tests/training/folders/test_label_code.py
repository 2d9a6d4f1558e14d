import numpy as np
import pytest

from geodeeplab.errors import OptionError
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.folders.label_code import ListedClass, make_label_code, parse_key

LISTED = [
    ListedClass(value=1, name="roof", color=(200, 0, 0)),
    ListedClass(value=4, name="road", color=None),
    ListedClass(value=9, name="lake", color=(0, 0, 250)),
]


def decoded(code: object, values: list[int]) -> tuple[list[int], list[bool]]:
    labels, unknown = code.decode(np.array(values))  # type: ignore[attr-defined]
    return labels.tolist(), unknown.tolist()


def test_listed_classes_are_taken_as_they_are() -> None:
    classes, code = make_label_code(LISTED, zero_is_unlabelled=True)
    assert [(one.id, one.name) for one in classes] == [(1, "roof"), (4, "road"), (9, "lake")]
    assert classes[0].color == (200, 0, 0)
    assert decoded(code, [9, 0, 1, 4, 7, 300]) == ([2, 255, 0, 1, 255, 255], [False, False, False, False, True, True])


def test_a_mapping_changes_some_names_and_merges() -> None:
    classes, code = make_label_code(LISTED, class_mapping={"lake": "water", 5: "water", "4": None})
    assert [one.name for one in classes] == ["roof", "water"]
    assert [one.id for one in classes] == [1, 2], "two values for one class, so ids count up"
    assert decoded(code, [1, 4, 5, 9])[0] == [0, IGNORE_INDEX, 1, 1]
    assert classes[1].color == (0, 0, 250)


def test_listed_classes_that_are_not_wanted_are_unknown() -> None:
    classes, code = make_label_code(LISTED, classes=["lake", "roof"], zero_is_unlabelled=True)
    assert [one.name for one in classes] == ["lake", "roof"]
    assert decoded(code, [1, 4, 9, 0]) == ([1, IGNORE_INDEX, 0, IGNORE_INDEX], [False, True, False, False])
    _, code = make_label_code(LISTED, classes=["lake", "roof"], class_mapping={"road": None})
    assert decoded(code, [4]) == ([IGNORE_INDEX], [False])
    _, code = make_label_code(LISTED, classes=["wood"])
    assert decoded(code, [1, 4, 9]) == ([IGNORE_INDEX] * 3, [True] * 3)


def test_colours_stand_for_themselves() -> None:
    classes, code = make_label_code(LISTED, class_mapping={(60, 16, 152): "roof", "#000000": None, "1,2,3": "road"})
    assert code.is_color
    assert [(one.id, one.name, one.color) for one in classes] == [(1, "roof", (60, 16, 152)), (2, "road", (1, 2, 3))]
    assert decoded(code, [60 << 16 | 16 << 8 | 152, 0, 1 << 16 | 2 << 8 | 3, 5]) == (
        [0, 255, 1, 255],
        [False, False, False, True],
    )


def test_names_alone_are_those_of_one_two_three() -> None:
    classes, code = make_label_code([], classes=["field", "wood"])
    assert [(one.id, one.name) for one in classes] == [(1, "field"), (2, "wood")]
    assert decoded(code, [1, 2, 3]) == ([0, 1, 255], [False, False, True])


def test_value_zero_can_be_a_class_and_ground_without_a_label_too() -> None:
    classes, code = make_label_code([], class_mapping={0: "other", 255: "roof"})
    assert [(one.id, one.name) for one in classes] == [(1, "other"), (2, "roof")], "0 is nodata in label rasters"
    assert decoded(code, [0, 255])[0] == [0, 1]
    classes, code = make_label_code(LISTED, background="other", zero_is_unlabelled=True)
    assert [one.name for one in classes] == ["roof", "road", "lake", "other"]
    assert decoded(code, [0, 1])[0] == [3, 0]
    assert code.background == 3


@pytest.mark.parametrize("text", ["60,16,152", "(60, 16, 152)", " 60 , 16 , 152 ", "#3c1098", "#3C1098"])
def test_a_colour_may_be_text(text: str) -> None:
    assert parse_key(text) == (60, 16, 152)
    assert parse_key("17") == 17
    assert parse_key("17 a") == "17 a"
    assert parse_key("1,2") == "1,2"


@pytest.mark.parametrize(
    ("mapping", "match"),
    [
        ({1: "a", (0, 0, 0): "b"}, "all label values and names, or all colours"),
        ({(0, 0, 256): "b"}, "of 0 to 255 each"),
        ({-1: "b"}, "label value \\(0 or more\\)"),
        ({True: "b"}, "not True"),
        ({"rooof": "b"}, "the class 'rooof', which the labels do not name: theirs are roof, road, lake"),
        ({1: None, 4: None, 9: None}, "1 to 254 classes, not 0"),
    ],
)
def test_what_is_refused(mapping: dict[object, str | None], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        make_label_code(LISTED, class_mapping=mapping)


def test_a_name_needs_listed_classes() -> None:
    with pytest.raises(OptionError, match="'roof', which the labels do not name: use label values or colours"):
        make_label_code([], class_mapping={"roof": "roof"})
