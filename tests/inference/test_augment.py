"""The laws of test-time augmentation."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from geodeeplab.errors import OptionError
from geodeeplab.inference.augment import TRANSFORMS, Transform, average, check_tta

SETS = ("flips", "d4")
WEIGHT = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(2))
BIAS = torch.randn(4, generator=torch.Generator().manual_seed(3))
every_transform = st.sampled_from(TRANSFORMS["d4"])


def near(images: Tensor, valid: Tensor) -> Tensor:
    """A network that looks around each pixel, at nodata too, and treats no direction like another."""
    return F.conv2d(torch.cat([images, valid.unsqueeze(1).float()], 1), WEIGHT, BIAS, padding=2)


def pointwise(images: Tensor, valid: Tensor) -> Tensor:
    return torch.cat([images, -images * valid.unsqueeze(1), images**2], 1)


def draw(seed: int, height: int = 9, width: int = 9) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1, height, width, generator=rng), torch.rand(2, height, width, generator=rng) > 0.3


def test_by_hand() -> None:
    x = torch.tensor([[1, 2], [3, 4]])
    flips = [transform.apply(x).tolist() for transform in TRANSFORMS["flips"]]
    assert flips == [[[1, 2], [3, 4]], [[2, 1], [4, 3]], [[3, 4], [1, 2]], [[4, 3], [2, 1]]]
    assert len({str(transform.apply(x).tolist()) for transform in TRANSFORMS["d4"]}) == 8


@given(transform=every_transform, height=st.integers(1, 7), width=st.integers(1, 7))
def test_every_transform_is_undone_exactly(transform: Transform, height: int, width: int) -> None:
    x = torch.arange(2 * height * width).view(2, height, width)
    assert torch.equal(transform.undo(transform.apply(x)), x)
    assert torch.equal(transform.apply(transform.undo(x)), x)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_set_is_closed(name: str) -> None:
    x = torch.arange(9).view(3, 3)
    members = {str(each.apply(x).tolist()) for each in TRANSFORMS[name]}
    assert members == {str(a.apply(b.apply(x)).tolist()) for a in TRANSFORMS[name] for b in TRANSFORMS[name]}


@given(tta=st.sampled_from(SETS), seed=st.integers(0, 99), data=st.data())
def test_the_mean_of_a_transformed_tile_is_the_transformed_mean(tta: str, seed: int, data: st.DataObject) -> None:
    transform = data.draw(st.sampled_from(TRANSFORMS[tta]))
    images, valid = draw(seed)
    turned = average(near, transform.apply(images), transform.apply(valid), tta)
    assert torch.allclose(turned, transform.apply(average(near, images, valid, tta)), atol=1e-5)


def test_flips_do_not_make_a_network_blind_to_quarter_turns() -> None:
    images, valid = draw(0)
    turn = Transform(quarter_turns=1)
    turned = average(near, turn.apply(images), turn.apply(valid), "flips")
    assert not torch.allclose(turned, turn.apply(average(near, images, valid, "flips")), atol=1e-2)


@given(tta=st.sampled_from(SETS), seed=st.integers(0, 99))
def test_a_pointwise_network_gains_nothing_and_gives_its_log_probabilities(tta: str, seed: int) -> None:
    images, valid = draw(seed)
    mean = average(pointwise, images, valid, tta)
    assert torch.allclose(mean, pointwise(images, valid).log_softmax(1), atol=1e-6)


@pytest.mark.parametrize("tta", SETS)
def test_it_is_the_mean_of_log_probabilities(tta: str) -> None:
    images, valid = draw(4, 5, 8)  # not square
    each = [t.undo(near(t.apply(images), t.apply(valid)).log_softmax(1)) for t in TRANSFORMS[tta]]
    got = average(near, images, valid, tta)
    assert torch.allclose(got, torch.stack(each).mean(0), atol=1e-6)
    assert torch.equal(got, average(near, images, valid, tta))


def test_none_gives_the_logits_as_they_are() -> None:
    images, valid = draw(5)
    assert torch.equal(average(near, images, valid, "none"), near(images, valid))


def test_half_precision_is_summed_in_float32() -> None:
    images, valid = draw(6)
    assert average(lambda x, v: near(x, v).bfloat16(), images, valid, "d4").dtype == torch.float32


def test_an_unknown_name() -> None:
    assert check_tta("d4") == "d4"
    with pytest.raises(OptionError, match="one of none, flips, d4, not 'rotate': choose among them"):
        check_tta("rotate")
