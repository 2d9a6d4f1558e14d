import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from geodeeplab.models import PointHead, certainty, point_sample, subdivide
from geodeeplab.models.aspp import resize
from geodeeplab.models.pointrend import point_logits_and_labels, sample_levels, sample_training_points


def grid_points(rows: int, cols: int) -> Tensor:
    """All pixel centres (1, rows·cols, 2), row by row."""
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(cols) + 0.5) / cols, indexing="ij")
    return torch.stack([x, y], dim=-1).view(1, -1, 2)


def trained_head(fine_channels: int, classes: int) -> PointHead:
    """A head whose predictor is not near zero, as after training."""
    head = PointHead(fine_channels, classes, hidden_channels=8)
    torch.nn.init.normal_(head.predictor.weight)
    return head


@pytest.mark.parametrize("shape", [(7, 5), (32, 32), (3, 64)])
def test_bilinear_samples_equal_interpolation_up_to_the_border(shape: tuple[int, int]) -> None:
    features = torch.randn(1, 4, 8, 6)
    sampled = point_sample(features, grid_points(*shape)).transpose(1, 2).view(1, 4, *shape)
    assert torch.allclose(sampled, F.interpolate(features, size=shape, mode="bilinear"), atol=1e-6)


def test_nearest_samples_at_pixel_centres_are_the_labels() -> None:
    labels = torch.randint(0, 9, (1, 1, 6, 11)).float()
    sampled = point_sample(labels, grid_points(6, 11), mode="nearest")
    assert torch.equal(sampled.view(6, 11), labels[0, 0])


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_running_certainty_is_the_top_two_gap_bit_for_bit(classes: int) -> None:
    logits = torch.randn(2, classes, 5, 7)
    top = logits.topk(2, dim=1).values
    assert torch.equal(certainty(logits), top[:, 0] - top[:, 1])


def test_with_all_points_every_step_is_the_dense_head() -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(2, 3, 4, 5), torch.randn(2, 6, 16, 20)
    with torch.no_grad():
        got = subdivide(head, coarse, [fine], shape=(64, 80), points_per_step=64 * 80)
        points = grid_points(64, 80).expand(2, -1, -1)
        dense = head(point_sample(fine, points), point_sample(coarse, points))
    assert torch.allclose(got, dense.transpose(1, 2).view(2, 3, 64, 80), atol=1e-5)


def test_points_go_to_the_least_certain_pixels_and_nowhere_else() -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(1, 3, 8, 8), torch.randn(1, 6, 16, 16)
    with torch.no_grad():
        bilinear = resize(coarse, (16, 16))
        got = subdivide(head, coarse, [fine], shape=(16, 16), points_per_step=10)
    changed = (got != bilinear).any(1).flatten()
    least = certainty(bilinear).flatten().topk(10, largest=False).indices
    assert set(changed.nonzero().flatten().tolist()) == set(least.tolist())


def test_two_fine_levels_are_joined_along_the_channels() -> None:
    levels = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    points = torch.rand(2, 7, 2)
    joined = sample_levels(levels, points)
    assert joined.shape == (2, 7, 8)
    assert torch.equal(joined[..., 3:], point_sample(levels[1], points))
    head = trained_head(8, 3)
    assert subdivide(head, torch.randn(2, 3, 4, 4), levels, shape=(16, 16)).shape == (2, 3, 16, 16)


def test_points_are_not_spent_on_nodata() -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 2), torch.randn(1, 2, 4, 4), torch.randn(1, 6, 16, 16)
    valid = torch.zeros(1, 32, 32, dtype=torch.bool)
    valid[:, :16, :16] = True
    with torch.no_grad():
        masked = subdivide(head, coarse, [fine], shape=(32, 32), points_per_step=300, valid=valid)
        plain = subdivide(head, coarse, [fine], shape=(32, 32), points_per_step=1024)
        bilinear = coarse
        for size in (8, 16, 32):
            bilinear = resize(bilinear, (size, size))
    assert torch.equal(masked[..., 22:, 22:], bilinear[..., 22:, 22:])  # surplus points are computed and discarded
    assert torch.allclose(masked[..., :15, :15], plain[..., :15, :15], atol=1e-5)


def test_a_tile_does_not_see_its_neighbours_in_the_batch() -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(3, 3, 4, 4), torch.randn(3, 6, 16, 16)
    with torch.no_grad():
        together = subdivide(head, coarse, [fine], shape=(64, 64))
        turned = subdivide(head, coarse.flip(0), [fine.flip(0)], shape=(64, 64))
    assert torch.equal(together, turned.flip(0))


def test_training_points_prefer_uncertain_places() -> None:
    torch.manual_seed(0)
    coarse = torch.zeros(1, 2, 1, 64)
    coarse[0, 0, 0, :] = torch.linspace(-5, 5, 64)  # certain at both ends, not in the middle
    points = sample_training_points(coarse, 1000)
    assert points.shape == (1, 1000, 2)
    assert ((points[..., 0] - 0.5).abs() < 0.25).float().mean() > 0.8


def test_gradients_reach_the_coarse_logits_and_the_fine_features() -> None:
    head = trained_head(4, 3)
    coarse, fine = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 4, 16, 16, requires_grad=True)
    logits, labels = point_logits_and_labels(head, coarse, [fine], torch.randint(0, 3, (2, 64, 64)))
    assert logits.shape == (2, 3, 16)
    assert labels.shape == (2, 16)
    F.cross_entropy(logits, labels).backward()
    assert coarse.grad is not None
    assert fine.grad is not None
    assert coarse.grad.abs().sum() > 0
    assert fine.grad.abs().sum() > 0
