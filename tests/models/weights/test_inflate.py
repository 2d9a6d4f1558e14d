import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from geodeeplab.errors import ModelError
from geodeeplab.models.weights.inflate import inflate_first_convolution

RGB = ("red", "green", "blue")
SENTINEL2 = "coastal blue green red rededge1 rededge2 rededge3 nir nir08 watervapour cirrus swir16 swir22".split()


def make_weight(bands: int = 3, *, seed: int = 0) -> Tensor:
    return torch.randn(5, bands, 3, 3, generator=torch.Generator().manual_seed(seed))


def grey_response(weight: Tensor) -> Tensor:
    return F.conv2d(torch.full((1, weight.shape[1], 3, 3), 0.7), weight).flatten()


@given(st.lists(st.sampled_from(SENTINEL2), min_size=1, unique=True))
def test_the_same_bands_change_nothing(names: list[str]) -> None:
    weight = make_weight(len(names))
    assert torch.equal(inflate_first_convolution(weight, bands=names, source_bands=names), weight)
    assert torch.equal(inflate_first_convolution(weight, bands=len(names)), weight) or len(names) == 1


@given(st.permutations(SENTINEL2))
def test_bands_in_another_order_permute_the_filters(names: list[str]) -> None:
    weight = make_weight(13)
    permuted = inflate_first_convolution(weight, bands=names, source_bands=SENTINEL2)
    assert torch.equal(permuted, weight[:, [SENTINEL2.index(name) for name in names]])


@given(st.sampled_from([1, 3, 6, 9, 12]))
def test_repeated_filters_answer_a_grey_image_alike(count: int) -> None:
    weight = make_weight()
    inflated = inflate_first_convolution(weight, bands=count)
    assert inflated.shape == (5, count, 3, 3)
    torch.testing.assert_close(grey_response(inflated), grey_response(weight))


def test_one_band_gets_the_sum_and_others_the_filters_in_turn() -> None:
    weight = make_weight()
    torch.testing.assert_close(inflate_first_convolution(weight, bands=1), weight.sum(1, keepdim=True))
    torch.testing.assert_close(inflate_first_convolution(weight, bands=2), weight[:, :2] * 3 / 2)
    torch.testing.assert_close(inflate_first_convolution(weight, bands=5), weight[:, [0, 1, 2, 0, 1]] * 3 / 5)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 13])
def test_repetition_is_timms(count: int) -> None:
    manipulate = pytest.importorskip("timm.models._manipulate")
    weight = make_weight()
    torch.testing.assert_close(
        inflate_first_convolution(weight, bands=count), manipulate.adapt_input_conv(count, weight.clone())
    )


@given(st.sets(st.sampled_from(SENTINEL2), max_size=6), st.booleans())
def test_names_keep_the_grey_response_with_all_of_the_sources_bands_or_none(
    others: set[str], with_source: bool
) -> None:
    names = sorted((others - set(RGB)) | (set(RGB) if with_source else {"thermal"}))
    weight = make_weight()
    inflated = inflate_first_convolution(weight, bands=names)
    torch.testing.assert_close(grey_response(inflated), grey_response(weight), atol=1e-5, rtol=1e-5)


@given(st.lists(st.sampled_from([*SENTINEL2, "thermal"]), min_size=1, max_size=8))
def test_names_give_the_response_that_the_docstring_states(names: list[str]) -> None:
    weight = make_weight()
    kept = [RGB.index(name) for name in names if name in RGB]
    expected = sum(grey_response(weight[:, [i]]) for i in kept)
    expected = expected + (len(names) - len(kept)) * grey_response(weight.mean(1, keepdim=True))
    inflated = inflate_first_convolution(weight, bands=names)
    torch.testing.assert_close(grey_response(inflated), expected * 3 / len(names), atol=1e-4, rtol=1e-4)


def test_by_hand() -> None:
    weight = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    assert inflate_first_convolution(weight, bands=["red"]).flatten().tolist() == [3.0]
    assert inflate_first_convolution(weight, bands=["nir", "red", "green"]).flatten().tolist() == [3.0, 1.0, 2.0]
    assert inflate_first_convolution(weight, bands=["blue", "nir"]).flatten().tolist() == [9.0, 4.5]
    picked = inflate_first_convolution(weight, bands=["Red-Edge", "NIR"], source_bands=["nir", "swir", "red_edge"])
    assert picked.flatten().tolist() == [9.0, 1.5]


def test_half_precision_stays_half() -> None:
    assert inflate_first_convolution(make_weight().half(), bands=5).dtype == torch.float16


def test_refusals() -> None:
    with pytest.raises(ModelError, match="bands are a number from 1 or a list of names, not 0"):
        inflate_first_convolution(make_weight(), bands=0)
    with pytest.raises(ModelError, match="not 'red'"):
        inflate_first_convolution(make_weight(), bands="red")
    with pytest.raises(ModelError, match=r"reads 4 bands, source_bands names 3 \(red, green, blue\)"):
        inflate_first_convolution(make_weight(4), bands=["red"])
    with pytest.raises(ModelError, match="name each of them once"):
        inflate_first_convolution(make_weight(2), bands=["red"], source_bands=["red", "Red"])
