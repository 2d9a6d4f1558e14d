"""From a scene's numbers to the model's and to the network's."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import ContractError
from geodeeplab.models import Contract, ModelBand, ModelClass, Normalisation, RawPixels, ValueMap

CONTRACT = Contract(
    name="two",
    classes=(ModelClass(id=1, name="a", color=(0, 0, 0)),),
    bands=(ModelBand(name="red", mean=100.0, std=50.0), ModelBand(name="nir", mean=10.0, std=2.0)),
    dtype="uint16",
    value_range=(0.0, 1000.0),
)
VALID = torch.tensor([[[True, True, False]]])


def test_gain_and_offset_by_hand() -> None:
    values = ValueMap.from_pairs(CONTRACT, [(1.0, -1000.0), (0.5, 2.0)])
    pixels = torch.tensor([[[[1100, 900, 7]], [[16, 4, 7]]]], dtype=torch.int32)
    raw = RawPixels(values)(pixels, VALID)
    assert raw[..., :2].tolist() == [[[[100.0, -100.0]], [[10.0, 4.0]]]]  # below the range, and not cut off
    assert raw[..., 2].isnan().all()
    assert Normalisation(CONTRACT, values=values)(pixels, VALID).tolist() == [[[[0.0, -4.0, 0.0]], [[0.0, -3.0, 0.0]]]]


def test_raw_pixels_are_the_models_numbers_where_nothing_is_to_be_mapped() -> None:
    pixels = torch.tensor([[[[0, 255, 9]]]], dtype=torch.uint8)
    raw = RawPixels()(pixels, VALID)
    assert raw.dtype == torch.float32
    assert raw[..., :2].tolist() == [[[[0.0, 255.0]]]]
    assert raw[..., 2].isnan().all()


def test_an_identity_changes_no_bit() -> None:
    values = ValueMap.from_pairs(CONTRACT, [(1.0, 0.0)] * 2)
    assert values.is_identity
    assert values.limits is None
    pixels = torch.randn(1, 2, 1, 3) * 1e4
    plain, mapped = (Normalisation(CONTRACT, values=each)(pixels, VALID) for each in (None, values))
    assert torch.equal(plain, mapped)


def test_rescaling_is_the_map_from_limits() -> None:
    limits = [(0.0, 3000.0), (100.0, 200.0)]
    values = ValueMap.from_limits(CONTRACT, limits)
    assert values.limits == tuple(limits)
    assert values.clip == (0.0, 1000.0)
    pixels = torch.rand(1, 2, 1, 3) * 4000 - 500
    by_limits, by_values = Normalisation(CONTRACT, rescale=limits), Normalisation(CONTRACT, values=values)
    assert torch.equal(by_limits(pixels, VALID), by_values(pixels, VALID))
    raw = RawPixels(values)(pixels, torch.ones_like(VALID))
    assert raw.min() >= 0
    assert raw.max() <= 1000


scales = st.sampled_from([1e-4, 2.75e-5, 0.01, 1.0, 3.0])
offsets = st.sampled_from([0.0, -0.1, -0.2, 5.0])


@given(scene=st.tuples(scales, offsets), model=st.tuples(scales, offsets), number=st.integers(0, 65535))
def test_the_same_physical_value_and_limits_that_hit_the_ends_of_the_range(
    scene: tuple[float, float], model: tuple[float, float], number: int
) -> None:
    (scale, offset), (model_scale, model_offset) = scene, model
    pair = scale / model_scale, (offset - model_offset) / model_scale
    values = ValueMap.from_pairs(CONTRACT, [pair] * 2)
    got = float(RawPixels(values)(torch.full((1, 2, 1, 1), number), torch.ones(1, 1, 1, dtype=torch.bool))[0, 0])
    rounding = 1e-6 * model_scale * (number * abs(pair[0]) + abs(pair[1]))  # of float32
    assert got * model_scale + model_offset == pytest.approx(number * scale + offset, abs=rounding)
    for low, high in values.limits or ((0.0, 1000.0),):
        assert low * pair[0] + pair[1] == pytest.approx(0, abs=1e-6 * abs(pair[1]) + 1e-9)
        assert high * pair[0] + pair[1] == pytest.approx(1000, rel=1e-6)


@pytest.mark.parametrize(
    "pair", [(-1.0, 0.0), (0.0, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), (1.0, float("nan"))]
)
def test_numbers_that_do_not_rise_with_the_models_are_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(ContractError, match=r"rise with the model's; .*: correct the scale"):
        ValueMap.from_pairs(CONTRACT, [(1.0, 0.0), pair])


def test_a_map_is_made_once() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ValueMap.from_pairs(CONTRACT, [(1.0, 0.0)]).clip = None  # type: ignore[misc]
