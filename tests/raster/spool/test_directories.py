from io import BytesIO

import numpy as np
import pytest

from geodeeplab.raster.spool.directories import BYTE_COUNTS, OFFSETS, SHORT, Level, Tag, lay_out, read_directories

PREDICTOR = Tag(kind=SHORT, values=b"\1\0")


def levels_of(*counts: int) -> list[Level]:
    return [Level(shape=(512 * n, 512), tags={317: PREDICTOR}, sizes=np.arange(10, 10 + n)) for n in counts]


def test_tiles_follow_the_head_from_the_smallest_level_on() -> None:
    head = lay_out(levels_of(4, 2, 1), b"structure")
    whole, half, quarter = read_directories(BytesIO(head))
    assert [one[OFFSETS].numbers().tolist() for one in (quarter, half, whole)] == [
        [len(head) + 4],
        [len(head) + 22, len(head) + 40],
        [len(head) + 59, len(head) + 77, len(head) + 96, len(head) + 116],
    ]
    assert whole[BYTE_COUNTS].numbers().tolist() == [10, 11, 12, 13]
    assert head[8:17] == b"structure"
    assert all(one[317] == PREDICTOR for one in (whole, half, quarter))


@pytest.mark.parametrize("spare", [-1, 0])
def test_a_file_too_large_for_a_classic_tiff_is_a_big_one(spare: int) -> None:
    levels = levels_of(4, 2, 1)
    size = len(lay_out(levels, b"")) + sum(int(one.sizes.sum()) + 8 * len(one.sizes) for one in levels)
    head = lay_out(levels, b"", largest_classic=size + spare)
    assert head[:4] == (b"II\x2b\0" if spare < 0 else b"II\x2a\0")


@pytest.mark.parametrize(
    "content", [b"", b"MM\0\x2a", b"II*\0\x08\0\0\0", b"II*\0\x08\0\0\0\xff\xff", b"II*\0\x08\0\0\0\1\0" + b"\xff" * 16]
)
def test_what_is_no_directory_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_directories(BytesIO(content))


def test_directories_that_go_round_in_circles_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        read_directories(BytesIO(b"II*\0\x08\0\0\0\0\0\x08\0\0\0"))
