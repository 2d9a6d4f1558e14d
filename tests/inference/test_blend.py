import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import OptionError
from geodeeplab.inference import BLENDS, RollingBand, ramp
from geodeeplab.tiling import Lattice


@given(st.integers(0, 50), st.sampled_from(BLENDS), st.integers(0, 30))
def test_ramps_rise_from_0_to_1_and_are_symmetric(overlap: int, blend: str, margin: int) -> None:
    weights = ramp(overlap, blend, margin=margin)
    assert weights.shape == (overlap,)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (np.diff(weights) >= 0).all()
    if overlap % 2 == 0 or (blend != "none" and 2 * margin < overlap):
        np.testing.assert_allclose(weights + weights[::-1], 1, atol=1e-6)


def test_ramps_by_hand() -> None:
    assert ramp(4, "none").tolist() == [0, 0, 1, 1]
    assert ramp(4, "linear").tolist() == [0.125, 0.375, 0.625, 0.875]
    assert ramp(4, "linear", margin=1).tolist() == [0, 0.25, 0.75, 1]
    np.testing.assert_allclose(ramp(2, "hann"), [0.146447, 0.853553], atol=1e-6)


def test_the_outer_margin_counts_nothing() -> None:
    assert (ramp(20, "hann", margin=6)[:6] == 0).all()
    assert (ramp(20, "hann", margin=6)[-6:] == 1).all()


@pytest.mark.parametrize(("blend", "margin"), [("cosine", 0), ("hann", -1)])
def test_refusals(blend: str, margin: int) -> None:
    with pytest.raises(OptionError, match="blend is one of hann, linear, none"):
        ramp(4, blend, margin=margin)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(2, 16).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size // 2))),
    st.sampled_from(BLENDS),
    st.integers(0, 3),
)
def test_equal_tiles_blend_to_themselves_to_the_last_corner(
    shape: tuple[int, int], tile: tuple[int, int], blend: str, margin: int
) -> None:
    lattice = Lattice(shape=shape, tile_size=tile[0], overlap=tile[1])
    band = RollingBand(lattice, lattice.whole, num_classes=2, blend=blend, margin=margin)
    constant = torch.tensor([3.0, -5.0]).view(2, 1, 1)
    covered = np.zeros(shape, dtype=int)
    for row in range(lattice.rows.count):
        for col in range(lattice.cols.count):
            final = band.add(lattice.tile(row, col), constant.expand(2, tile[0], tile[0]).clone())
            assert final is not None
            torch.testing.assert_close(final, constant.expand_as(final))
            (top, bottom), (left, right) = lattice.rows.owned(row), lattice.cols.owned(col)
            assert final.shape[1:] == (bottom - top, right - left)
            covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
