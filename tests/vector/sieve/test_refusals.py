from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.vector.sieve import scan as sieve_scan
from geodeeplab.vector.sieve.rows import sieve_rows
from tests.vector.reference_sieve import bands_of, draw, sieve

Labels = NDArray[np.int32]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"connectivity": 6}, "connectivity is 4 or 8, not 6"),
        ({"minimum": -1}, "0 or more, not -1"),
        ({"minimum": {1: float("nan")}}, "0 or more, not nan"),
        ({"minimum": float("inf")}, "0 or more, not inf"),
        ({"minimum": {2**40: 1}}, "32-bit integers, not 1099511627776"),
        ({"minimum": {1: 5}, "fill_holes": True}, "minimum of nodata, 0"),
        ({"row_areas": np.ones(3)}, r"one area per row, 2, not \(3,\)"),
        ({"row_areas": np.array([1, np.nan])}, "finite and not below 0"),
        ({"row_areas": np.zeros(2)}, "finite and not below 0"),
    ],
)
def test_refuses_options_at_once(options: dict[str, Any], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        sieve_rows(bands_of(draw("12", "21")), **{"shape": (2, 2), "minimum": 2, **options})


@pytest.mark.parametrize("minimum", [0, 5])
@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.ones((2, 3), np.int32), r"are \(n, 2\) of int32, not \(2, 3\)"),
        (np.ones((2, 2), np.uint8), "int32, not .* of uint8"),
        (np.ones((1, 2), np.int32), "2 rows, but only 1 came"),
        (np.ones((3, 2), np.int32), "2 rows, and more came"),
    ],
)
def test_refuses_rows_that_do_not_fill_the_shape(labels: Labels, minimum: float, match: str) -> None:
    with pytest.raises(SceneError, match=match):
        list(sieve_rows(lambda: [labels], shape=(2, 2), minimum=minimum))


@pytest.mark.parametrize("second", [draw("1212", "2121"), draw("1111", "1121")])
def test_refuses_rows_that_change_between_the_readings(second: Labels) -> None:
    readings = iter([draw("1111", "1112"), second])
    with pytest.raises(SceneError, match="not the same when they were read again"):
        list(sieve_rows(lambda: [next(readings)], shape=(2, 4), minimum=2))


@pytest.mark.parametrize("max_bytes", [3_000_000, 9_000_000])
def test_refuses_more_components_than_the_memory_holds(max_bytes: int) -> None:
    labels = np.random.default_rng(0).integers(1, 8, (600, 600), dtype=np.int32)
    with pytest.raises(SceneError, match=r"more than 0\.0 GiB, used up at row \d+ of 600: sieve a part"):
        sieve(labels, 9, max_bytes=max_bytes)
    assert len(np.unique(sieve(labels, 9, max_bytes=30_000_000))) > 1


def test_brings_borders_together_before_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(1, 5, (6, 6), dtype=np.int32).repeat(60, 0).repeat(20, 1)
    whole = sieve(labels, 2400)
    assert (whole != labels).any()
    monkeypatch.setattr(sieve_scan, "FIRST_ROOM", 1)
    monkeypatch.setattr(sieve_scan, "CACHED_BORDERS", 1)  # so that each piece of border goes to the list
    monkeypatch.setattr(sieve_scan, "STEP_PX", 1)
    np.testing.assert_array_equal(sieve(labels, 2400, max_bytes=4000), whole)
