import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import OptionError
from geodeeplab.inference import BLENDS, RollingBand, ramp
from geodeeplab.inference.tiles import iter_neighbours
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
            final = band.add([lattice.tile(row, col)], constant.expand(1, 2, tile[0], tile[0]).clone())
            assert final is not None
            torch.testing.assert_close(final, constant.expand_as(final))
            (top, bottom), (left, right) = lattice.rows.owned(row), lattice.cols.owned(col)
            assert final.shape[2:] == (bottom - top, right - left)
            covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3, 4]), st.sampled_from([1, 3, 5]), st.booleans())
def test_tiles_of_a_row_at_once_are_blended_as_one_by_one_to_the_bit(
    seed: int, overlap: int, batch: int, skips_nan: bool
) -> None:
    rng = np.random.default_rng(seed)
    lattice = Lattice(shape=(19, 45), tile_size=8, overlap=overlap)
    tiles = [lattice.tile(row, col) for row in range(lattice.rows.count) for col in range(lattice.cols.count)]
    logits = torch.from_numpy(rng.normal(0, 3, (len(tiles), 3, 8, 8)).astype("float32"))
    if skips_nan:
        logits[:, :, 2:6, :3] = torch.nan
    empty = rng.random(len(tiles)) < 0.2

    def blended(batch: int) -> list[torch.Tensor]:
        band = RollingBand(lattice, lattice.whole, num_classes=3, skips_nan=skips_nan)
        found = []
        for first in range(0, len(tiles), batch):
            slots: list[int | None] = (np.cumsum(~empty[first : first + batch]) - 1).tolist()
            numbers = [i for i in range(first, min(first + batch, len(tiles))) if not empty[i]]
            entries = [(tiles[first + i], None if empty[first + i] else slot) for i, slot in enumerate(slots)]
            own = logits[numbers]
            for part, where in iter_neighbours(entries, alone=lattice.cols.count - 1):
                final = band.add(part, None if where is None else own[where])
                found += [] if final is None else list(final.clone())
        return found

    for several, single in zip(blended(batch), blended(1), strict=True):
        torch.testing.assert_close(several, single, rtol=0, atol=0, equal_nan=True)


def test_parts_of_a_batch_are_neighbours_in_slots_that_follow_each_other() -> None:
    lattice = Lattice(shape=(20, 40), tile_size=10, overlap=0)
    tiles = [lattice.tile(row, col) for row in range(2) for col in range(4)]
    slots = [0, 1, None, 2, 3, None, None, 4]
    parts = list(iter_neighbours(list(zip(tiles, slots, strict=True)), alone=3))
    assert [(len(part), where) for part, where in parts] == [
        (2, slice(0, 2)),
        (1, None),
        (1, slice(2, 3)),
        (1, slice(3, 4)),
        (2, None),
        (1, slice(4, 5)),
    ]
