import pytest
import torch

from geodeeplab.errors import ModelError
from geodeeplab.models import DeepLabV3Head
from geodeeplab.models.heads.aspp import ASPP, ImagePooling


def test_the_head_reads_the_deepest_level_and_keeps_its_size() -> None:
    head = DeepLabV3Head(8, 3, rates=(2, 4), aspp_channels=4).eval()
    levels = [torch.randn(1, channels, 20, 20) for channels in (2, 4, 8)]
    with torch.no_grad():
        logits = head([*levels[:2], levels[2][..., :5, :7]], (80, 112))
    assert logits.shape == (1, 3, 5, 7)


def test_image_pooling_gives_the_mean_to_every_cell() -> None:
    pooling = ImagePooling(4, 6).eval()
    image = torch.randn(2, 4, 10, 7)
    with torch.no_grad():
        pooled = pooling(image)
        mean = image.mean(dim=(2, 3), keepdim=True)
        expected = pooling(mean)  # a map of one cell
    assert pooled.shape == (2, 6, 10, 7)
    assert expected.any()
    assert torch.allclose(pooled, expected.expand_as(pooled), atol=1e-6)


def test_a_training_batch_of_one_is_refused_clearly() -> None:
    with pytest.raises(ModelError, match="batches of 2 or more"):
        ASPP(4, rates=(1,)).train()(torch.randn(1, 4, 8, 8))
