import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.raster.spool import aligning
from geodeeplab.raster.spool.aligning import BandCutter, most_held_rows


@given(start=st.integers(0, 1500), heights=st.lists(st.integers(1, 1300), min_size=1, max_size=6))
def test_bands_have_all_rows_and_end_at_squares(start: int, heights: list[int]) -> None:
    rows = np.arange(start, start + sum(heights))[:, None]
    cutter, bands, done = BandCutter((4096, 1024)), [], 0
    for height in heights:
        part = rows[done : done + height]
        bands += cutter.put(start + done, {"labels": part, "probs": np.stack([part, part])})
        done += height
        given_rows = sum(len(band["labels"]) for _, band in bands)
        assert done - given_rows < 512
    bands += cutter.rest()
    assert cutter.rest() == []
    np.testing.assert_array_equal(np.concatenate([band["labels"] for _, band in bands]), rows)
    for first, band in bands:
        assert band["labels"][0, 0] == first
        assert band["probs"].shape == (2, *band["labels"].shape)
    assert all((first + len(band["labels"])) % 512 == 0 for first, band in bands[:-1])
    assert all(len(band["labels"]) <= 512 for _, band in bands)


@pytest.mark.parametrize(("shape", "held"), [((2047, 2048), 0), ((2048, 2048), 512), ((10**6, 5), 512)])
def test_rows_of_small_rasters_are_not_held(shape: tuple[int, int], held: int) -> None:
    assert most_held_rows(shape) == held
    assert len(BandCutter(shape).put(48, {"labels": np.zeros((48, 5))})) == (held == 0)
    assert aligning.SMALL_PIXELS == 2048**2
