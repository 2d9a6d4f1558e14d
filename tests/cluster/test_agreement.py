"""A worker's pins against the client's."""

import pytest

from geodeeplab.cluster.worker import check_agreement
from geodeeplab.errors import OptionError

PINS = {"torch": "2.14", "scene": "a.tif", "scene_files": [["data/a.tif", 100, 7]], "crf": {"guide": (1, 2)}}


def test_the_same_file_elsewhere_agrees() -> None:
    there = PINS | {"scene": "/far/a.tif", "scene_files": [["/far/a.tif", 100, 9]], "crf": {"guide": [1, 2]}}
    check_agreement(PINS, there, worker="tcp://w:1")


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"torch": "2.13"}, 'torch is "2.13" there, "2.14" here'),
        (
            {"scene_files": [["/far/a.tif", 99, 7]]},
            r'scene_files is \[\["a.tif", 99\]\] there, \[\["a.tif", 100\]\] here',
        ),
        ({"crf": None}, "crf is null there"),
        ({key: 1 for key in "abcdef"}, "2 more differ: use the same versions"),
    ],
)
def test_a_difference_is_named_with_the_worker(there: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=rf"worker tcp://w:1 would not give the same pixels: .*{words}"):
        check_agreement(PINS, PINS | there, worker="tcp://w:1")
