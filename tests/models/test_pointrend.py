import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from geodeeplab.evaluation.boundary import boundary_counts, boundary_iou
from geodeeplab.models import PointHead, build_model, certainty, point_sample, pointrend, subdivide
from geodeeplab.models.heads.aspp import resize
from geodeeplab.models.pointrend import (
    IMAGE_LEVEL,
    TRAINING_PIXELS_PER_POINT,
    labels_at,
    point_logits,
    point_loss,
    sample_levels,
    sample_training_points,
)


def grid_points(rows: int, cols: int) -> Tensor:
    """All pixel centres (1, rows·cols, 2), row by row."""
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(cols) + 0.5) / cols, indexing="ij")
    return torch.stack([x, y], dim=-1).view(1, -1, 2)


def dense(head: PointHead, coarse: Tensor, fine: list[Tensor], shape: tuple[int, int]) -> Tensor:
    """The head at every pixel, on maps enlarged by interpolation: logits (N, K, H, W)."""
    with torch.no_grad():
        features = torch.cat([resize(level, shape) for level in fine], dim=1).flatten(2).transpose(1, 2)
        logits: Tensor = head(features, resize(coarse, shape).flatten(2).transpose(1, 2))  # (N, H·W, K)
    return logits.transpose(1, 2).reshape(len(coarse), -1, *shape)


def trained_head(fine_channels: int, classes: int) -> PointHead:
    """A head whose predictor is not near zero, as after training."""
    head = PointHead(fine_channels, classes, hidden_channels=8)
    torch.nn.init.normal_(head.predictor.weight)
    return head


@pytest.mark.parametrize("shape", [(7, 5), (32, 32), (3, 64)])
def test_bilinear_samples_equal_interpolation_up_to_the_border(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 4, 8, 6)
    sampled = point_sample(features, grid_points(*shape)).transpose(1, 2).view(1, 4, *shape)
    assert torch.allclose(sampled, F.interpolate(features, size=shape, mode="bilinear"), atol=5e-6)


def test_nearest_samples_at_pixel_centres_are_the_labels() -> None:
    labels = torch.randint(0, 9, (1, 1, 6, 11)).float()
    sampled = point_sample(labels, grid_points(6, 11), mode="nearest")
    assert torch.equal(sampled.view(6, 11), labels[0, 0])


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_running_certainty_is_the_top_two_gap_bit_for_bit(classes: int) -> None:
    logits = torch.randn(2, classes, 5, 7)
    top = logits.topk(2, dim=1).values
    assert torch.equal(certainty(logits), top[:, 0] - top[:, 1])


@pytest.mark.parametrize("shape", [(4, 5), (8, 10), (16, 20), (32, 40), (64, 80), (53, 41), (33, 79)])
def test_with_all_points_every_step_is_the_dense_head(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(2, 3, 4, 5), torch.randn(2, 6, 16, 20)
    with torch.no_grad():
        got = subdivide(head, coarse, [fine], shape=shape, points_per_step=shape[0] * shape[1])
    assert torch.allclose(got, dense(head, coarse, [fine], shape), atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16, 32])
def test_without_points_the_steps_are_repeated_doubling(stride: int) -> None:
    coarse = torch.randn(1, 3, 2, 3)
    want = resize(coarse, (2, 3))
    while want.shape[-1] < 3 * stride:
        want = resize(want, (2 * want.shape[-2], 2 * want.shape[-1]))
    got = subdivide(trained_head(4, 3), coarse, [torch.randn(1, 4, 6, 8)], shape=want.shape[-2:], points_per_step=0)
    assert torch.equal(got, want)


def test_grids_double_up_to_the_image_from_any_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def refine(_: object, logits: Tensor, *__: object, **___: object) -> Tensor:
        seen.append(tuple(logits.shape[2:]))
        return logits

    def grids(coarse_shape: tuple[int, int], shape: tuple[int, int]) -> list[tuple[int, ...]]:
        seen.clear()
        subdivide(trained_head(4, 3), torch.randn(1, 3, *coarse_shape), [torch.randn(1, 4, 6, 8)], shape=shape)
        return list(seen)

    monkeypatch.setattr(pointrend, "_refine", refine)
    assert grids((32, 32), (512, 512)) == [(64, 64), (128, 128), (256, 256), (512, 512)]
    assert grids((33, 33), (513, 513)) == [(65, 65), (129, 129), (257, 257), (513, 513)]
    assert grids((3, 49), (33, 769)) == [(5, 97), (9, 193), (17, 385), (33, 769)]  # ⌈33 / 16⌉, ⌈769 / 16⌉
    assert grids((10, 10), (60, 60)) == [(15, 15), (30, 30), (60, 60)]  # stride 6
    assert grids((20, 20), (20, 20)) == [(20, 20)]


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
    torch.manual_seed(0)
    levels = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    points = torch.rand(2, 7, 2)
    joined = sample_levels(levels, points)
    assert joined.shape == (2, 7, 8)
    assert torch.equal(joined[..., 3:], point_sample(levels[1], points))
    head, coarse = trained_head(8, 3), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        got = subdivide(head, coarse, levels, shape=(16, 16), points_per_step=256)
    assert torch.allclose(got, dense(head, coarse, levels, (16, 16)), atol=1e-4)


def test_with_a_point_a_pixel_and_the_image_every_pixel_is_classified_by_its_own_values_too() -> None:
    torch.manual_seed(0)
    network = build_model(
        backbone="resnet18", num_classes=3, in_channels=2, pointrend=True, fine_levels=(IMAGE_LEVEL, 0),
        pixels_per_point=1, point_channels=8, aspp_channels=8,
    ).eval()  # fmt: skip
    assert network.point_head is not None
    torch.nn.init.normal_(network.point_head.predictor.weight)
    images = torch.randn(1, 2, 32, 48)
    with torch.no_grad():
        coarse, fine = network.coarse_and_fine(images)
        got = network(images)
    assert fine[0] is images
    assert torch.allclose(got, dense(network.point_head, coarse, fine, (32, 48)), atol=1e-4)
    logits, index = point_logits(network.point_head, coarse, fine, torch.ones(1, 32, 48, dtype=torch.bool))
    assert torch.allclose(logits, got.flatten(2).gather(2, index[:, None].expand(-1, 3, -1)), atol=1e-4)
    assert index.shape == (1, 32 * 48 // TRAINING_PIXELS_PER_POINT)
    assert build_model(**network.architecture).point_head.pixels_per_point == 1  # type: ignore[union-attr]


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


@pytest.mark.parametrize("shape", [(5, 5), (9, 7), (32, 32), (33, 19)])
def test_one_valid_pixel_keeps_its_cell_in_every_grid(shape: tuple[int, int]) -> None:
    rows, cols = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))
    for y, x in zip(rows.tolist(), cols.tolist(), strict=True):
        valid = torch.zeros(1, 33, 47, dtype=torch.bool)
        valid[0, int(33 * y), int(47 * x)] = True
        kept = pointrend._shrink(valid, shape)
        row, col = (int(33 * y) + 0.5) / 33 * shape[0], (int(47 * x) + 0.5) / 47 * shape[1]
        assert kept[0, int(row), int(col)]
        assert kept.sum() <= 4  # the pixel may straddle the lines between cells


@pytest.mark.parametrize("seed", range(20))
def test_cells_without_area_mode_are_those_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(2, 70, 2)
    shape = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
    valid = torch.from_numpy(rng.random((2, height, width)) < 0.05)
    found = pointrend.any_in_cells(pointrend.any_in_cells(valid, shape[0], dim=1), shape[1], dim=2)
    assert torch.equal(found, pointrend._shrink(valid, shape))


def test_a_tile_does_not_see_its_neighbours_in_the_batch() -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(3, 3, 4, 4), torch.randn(3, 6, 16, 16)
    with torch.no_grad():
        together = subdivide(head, coarse, [fine], shape=(64, 64))
        turned = subdivide(head, coarse.flip(0), [fine.flip(0)], shape=(64, 64))
    assert torch.equal(together, turned.flip(0))


def test_autocast_reaches_the_head_and_nothing_else() -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 6, 16, 16)

    def refine(points: int) -> Tensor:
        return subdivide(head, coarse.bfloat16(), [fine.bfloat16()], shape=(8, 8), points_per_step=points)

    with torch.no_grad():
        bilinear, plain = refine(0), refine(10)
        with torch.autocast("cpu", torch.bfloat16):
            half = refine(10)
    assert half.dtype == torch.float32
    refined = (plain != bilinear).any(1, keepdim=True).expand_as(plain)
    assert refined.sum() == 2 * 3 * 10
    assert torch.equal(half[~refined], bilinear[~refined])  # in float32
    assert torch.equal(half[refined], half[refined].bfloat16().float())
    assert not torch.equal(plain[refined], plain[refined].bfloat16().float())
    torch.testing.assert_close(half, plain, rtol=0.02, atol=0.1)


def test_points_at_once_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 6, 16, 16)
    with torch.no_grad():
        whole = subdivide(head, coarse, [fine], shape=(32, 32), points_per_step=500)
        monkeypatch.setattr(pointrend, "POINTS_AT_ONCE", 7)
        cut = subdivide(head, coarse, [fine], shape=(32, 32), points_per_step=500)
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-4)


def test_a_layer_reads_features_and_coarse_logits_as_one_vector() -> None:
    torch.manual_seed(0)
    head, features, coarse = trained_head(6, 3), torch.randn(2, 5, 6), torch.randn(2, 5, 3)
    x = features
    for layer in (*head.hidden, head.predictor):
        x = layer(torch.cat([x if x is features else x.relu(), coarse], dim=-1))
    torch.testing.assert_close(head(features, coarse), x)


@pytest.mark.slow
def test_no_step_depends_on_values() -> None:
    torch.manual_seed(0)
    head, coarse, fine = trained_head(6, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 6, 16, 16)
    compiled = torch.compile(subdivide, backend="eager", fullgraph=True)  # raises where the graph would break
    with torch.no_grad():
        found, wanted = (run(head, coarse, [fine], shape=(33, 64)) for run in (compiled, subdivide))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)  # the graph has all points at once


def test_subdivision_can_be_learned_through() -> None:
    head = trained_head(4, 3)
    coarse, fine = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 4, 16, 16, requires_grad=True)
    subdivide(head, coarse, [fine], shape=(64, 64)).square().sum().backward()
    for tensor in (coarse, fine, *head.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


EVERYWHERE = torch.ones(1, 1, 1, dtype=torch.bool)


def test_training_points_prefer_uncertain_places() -> None:
    torch.manual_seed(0)
    coarse = torch.zeros(1, 2, 1, 64)
    coarse[0, 0, 0, :] = torch.linspace(-5, 5, 64)  # certain at both ends, not in the middle
    points, _ = sample_training_points(coarse, EVERYWHERE.expand(1, 64, 64), 1000)
    assert points.shape == (1, 1000, 2)
    assert ((points[..., 0] - 0.5).abs() < 0.25).float().mean() > 0.8


def test_gradients_reach_the_coarse_logits_and_the_fine_features() -> None:
    head = trained_head(4, 3)
    coarse, fine = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 4, 16, 16, requires_grad=True)
    logits, index = point_logits(head, coarse, [fine], EVERYWHERE.expand(2, 64, 64))
    labels = labels_at(torch.randint(0, 3, (2, 64, 64)), index)
    assert logits.shape == (2, 3, 16)
    assert labels.shape == (2, 16)
    F.cross_entropy(logits, labels).backward()
    assert coarse.grad is not None
    assert fine.grad is not None
    assert coarse.grad.abs().sum() > 0
    assert fine.grad.abs().sum() > 0


def test_training_points_are_the_least_certain_of_the_candidates_and_fresh_ones() -> None:
    coarse = torch.randn(2, 3, 8, 8)
    torch.manual_seed(5)
    lots, fresh_lots = torch.rand(2, 3 * 40, 3), torch.rand(2, 10, 3)
    candidates, fresh = (_everywhere(one, side=64) for one in (lots, fresh_lots))
    torch.manual_seed(5)
    points, _ = sample_training_points(coarse, EVERYWHERE.expand(2, 64, 64), 40)
    gap = certainty(point_sample(coarse, candidates).transpose(1, 2))
    for image in range(2):
        least = candidates[image][gap[image].argsort()[:30]]
        torch.testing.assert_close(points[image, :30].sort(0).values, least.sort(0).values)
    torch.testing.assert_close(points[:, 30:], fresh)


def _everywhere(lots: Tensor, *, side: int) -> Tensor:
    """Give the points of lots (N, P, 3) where every pixel is labelled: its number, and the place within it."""
    number = (lots[..., 0] * side**2).long()
    return torch.stack([(number % side + lots[..., 1]) / side, (number // side + lots[..., 2]) / side], dim=-1)


def test_training_points_lie_in_labelled_pixels_only_and_in_all_of_them_alike() -> None:
    labelled = torch.zeros(3, 12, 20, dtype=torch.bool)
    labelled[0, 3, 5] = labelled[0, 7, 11:15] = True
    labelled[1, :, :2] = True  # and none in the third image
    points, index = sample_training_points(torch.randn(3, 4, 3, 5), labelled, 4000, share_uncertain=0.0)
    x, y = (points * torch.tensor([20, 12]) - 1e-5).long().clamp(min=0).unbind(-1)
    assert ((20 * y + x) == index)[:2].float().mean() > 0.99  # but for points on a pixel's edge
    assert labelled.flatten(1).gather(1, index)[:2].all()
    assert (index[2] == 0).all()
    shares = index[0].bincount() / 4000
    assert shares[[65, 151, 152, 153, 154]].sub(0.2).abs().max() < 0.03


def test_labels_are_those_under_the_points() -> None:
    labels = torch.arange(12 * 20).view(1, 12, 20)
    points, index = sample_training_points(torch.randn(1, 3, 3, 5), EVERYWHERE.expand(1, 12, 20), 100)
    nearest = point_sample(labels.unsqueeze(1).float(), points, mode="nearest").squeeze(-1)
    assert (labels_at(labels, index) == nearest).float().mean() > 0.97  # but for points on a pixel's edge


class TestPointLoss:
    def test_is_the_mean_over_points_that_all_have_a_label(self) -> None:
        head, coarse, fine = trained_head(4, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 4, 16, 16)
        labels = torch.randint(0, 3, (2, 64, 64))
        labels[1, :, :50] = 255
        torch.manual_seed(3)
        logits, index = point_logits(head, coarse, [fine], labels != 255)
        picked = labels_at(labels, index)
        assert (picked != 255).all()
        torch.manual_seed(3)
        loss = point_loss(head, coarse, [fine], labels)
        assert torch.allclose(loss, F.cross_entropy(logits, picked))

    def test_is_zero_where_all_labels_are_ignored(self) -> None:
        head, coarse, fine = trained_head(4, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 4, 16, 16)
        loss = point_loss(head, coarse, [fine], torch.full((2, 64, 64), 9), ignore_index=9)
        loss.backward()
        assert loss == 0
        assert all(p.grad is not None and torch.all(p.grad == 0) for p in head.parameters())


class TestBoundaries:
    """Small rectangles; coarse logits hold their share of 16 × 16 pixels, the fine map that of 4 × 4, with noise."""

    @staticmethod
    def draw_labels(count: int, *, seed: int, side: int = 128) -> Tensor:
        """Draw turned rectangles of class 1 on class 0: labels (count, side, side)."""
        rng = torch.Generator().manual_seed(seed)
        y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
        labels = torch.zeros(count, side, side, dtype=torch.long)
        for image in labels:
            for _ in range(12):
                left, top, half_width, half_height, angle = torch.rand(5, generator=rng).tolist()
                turn = torch.tensor(angle * torch.pi)
                along, across = x - side * left, y - side * top
                u, v = along * turn.cos() + across * turn.sin(), across * turn.cos() - along * turn.sin()
                image[(u.abs() < 3 + 16 * half_width) & (v.abs() < 3 + 16 * half_height)] = 1
        return labels

    @staticmethod
    def see(labels: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
        """Give coarse logits (N, 2, H/16, W/16) and a fine map (N, 1, H/4, W/4)."""
        share = F.avg_pool2d(labels.unsqueeze(1).float(), 16).clamp(0.02, 0.98)
        fine = F.avg_pool2d(labels.unsqueeze(1).float(), 4)
        noise = 0.1 * torch.randn(fine.shape, generator=torch.Generator().manual_seed(seed))
        return torch.cat([1 - share, share], dim=1).log(), fine + noise

    @staticmethod
    def score(logits: Tensor, truth: Tensor) -> float:
        """Boundary IoU of class 1 within 2 pixels."""
        found = logits.argmax(1)
        counts = [
            boundary_counts(a.numpy(), b.numpy(), class_ids=[0, 1], distance=2)
            for a, b in zip(found, truth, strict=True)
        ]
        return float(boundary_iou(np.sum(counts, axis=0))[1])

    def test_a_trained_head_draws_them_sharper_than_interpolation(self) -> None:
        torch.manual_seed(0)
        head = PointHead(1, 2, hidden_channels=32, layers=2)
        optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
        labels = self.draw_labels(16, seed=0)
        coarse, fine = self.see(labels, seed=1)
        for _ in range(150):
            optimizer.zero_grad()
            point_loss(head, coarse, [fine], labels).backward()
            optimizer.step()

        truth = self.draw_labels(8, seed=2)
        coarse, fine = self.see(truth, seed=3)
        with torch.no_grad():
            bilinear = self.score(resize(coarse, truth.shape[-2:]), truth)
            sparse = self.score(subdivide(head, coarse, [fine], shape=truth.shape[-2:]), truth)
            ample = self.score(subdivide(head, coarse, [fine], shape=truth.shape[-2:], points_per_step=512), truth)
        assert bilinear < 0.25
        assert sparse > bilinear + 0.2  # N = H·W / 256
        assert ample > bilinear + 0.4
