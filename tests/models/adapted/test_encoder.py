"""Features of frozen networks: where their maps lie, and how many there are."""

import pytest
import torch

from geodeeplab.errors import ModelError
from geodeeplab.models import EncoderNumbers
from geodeeplab.models.adapted.encoder import EncoderFeatures, interpolate_cells
from geodeeplab.models.architecture import Architecture
from geodeeplab.models.backbones.same import first_centre

NETWORK = Architecture(arch="deeplabv3", backbone="resnet18", num_classes=5, aspp_channels=8)


def map_of(side: int, stride: int) -> torch.Tensor:
    """Give the pixels (n,) that the cells of a map of SAME padding lie on."""
    return torch.arange(-(-side // stride)) * float(stride) + first_centre(side, stride)


@pytest.mark.parametrize("stride", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("shape", [(64, 96), (61, 97), (33, 32), (1, 5)])
def test_a_constant_map_stays_constant(stride: int, shape: tuple[int, int]) -> None:
    cells = torch.full((2, 3, *(-(-side // stride) for side in shape)), 4.25)
    found = interpolate_cells(cells, stride, shape, [first_centre(side, stride) for side in shape])
    assert found.shape == (2, 3, -(-shape[0] // 2), -(-shape[1] // 2))
    assert torch.allclose(found, torch.tensor(4.25), rtol=1e-6)


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize("shape", [(128, 96), (97, 127), (66, 70)])
def test_a_ramp_is_met_at_the_middle_of_each_cell(stride: int, shape: tuple[int, int]) -> None:
    rows, cols = (map_of(side, stride) for side in shape)
    firsts = [int(known[0]) for known in (rows, cols)]
    found = interpolate_cells((3 * rows[:, None] + 7 * cols[None, :])[None, None], stride, shape, firsts)[0, 0]
    middle = [torch.arange(-(-side // 2)) * 2 + 0.5 for side in shape]
    clamped = [one.clamp(known[0], known[-1]) for one, known in zip(middle, (rows, cols), strict=True)]
    want = 3 * clamped[0][:, None] + 7 * clamped[1][None, :]
    assert torch.allclose(found, want, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    "numbers",
    [
        EncoderNumbers(backbone="efficientnet_lite0", components=4),
        EncoderNumbers(backbone="resnet18", channels=(0, 0), components=3),
        EncoderNumbers(network=NETWORK, channels=(2, 1, 0)),
    ],
    ids=["SAME padding", "two channels", "with classes"],
)
@pytest.mark.parametrize("shape", [(64, 64), (66, 70)])
def test_channels_are_those_of_the_forward_pass(numbers: EncoderNumbers, shape: tuple[int, int]) -> None:
    encoder = EncoderFeatures(numbers).eval()
    with torch.inference_mode():
        found = encoder(torch.randn(2, 3, *shape))
    assert found.shape == (2, encoder.channels, shape[0] // 2, shape[1] // 2)
    assert found.dtype == torch.float32
    assert encoder.classes == (0 if numbers.network is None else 5)


def test_each_channel_is_the_band_that_was_chosen() -> None:
    encoder = EncoderFeatures(EncoderNumbers(backbone="efficientnet_lite0", channels=(3, 1, 1))).eval()
    image = torch.randn(1, 4, 32, 32)
    with torch.inference_mode():
        changed = image.clone()
        changed[:, [0, 2]] = 9.0
        assert torch.equal(encoder(image), encoder(changed))
        changed[:, 3] = 9.0
        assert not torch.equal(encoder(image), encoder(changed))


def test_the_number_of_components_is_at_most_that_of_channels() -> None:
    encoder = EncoderFeatures(EncoderNumbers(backbone="efficientnet_lite0", components=1000))
    assert encoder.channels == sum(encoder.map_channels)


def test_an_unknown_backbone_is_one_line() -> None:
    with pytest.raises(ModelError) as caught:
        EncoderFeatures(EncoderNumbers(backbone="alexnet"))
    assert "\n" not in str(caught.value)
