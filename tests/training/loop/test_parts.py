"""The small parts of the loop: average, schedule, groups, batches, records."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from geodeeplab.errors import OptionError
from geodeeplab.models.heads.aspp import ImagePooling
from geodeeplab.models.pointrend import point_logits, point_loss
from geodeeplab.training import IGNORE_INDEX, TrainingData
from geodeeplab.training.loop.loading import training_loader, validation_loader
from geodeeplab.training.loop.lr_find import SweepCurve, suggest_rate
from geodeeplab.training.loop.module import decay_at, start_average, update_average
from geodeeplab.training.loop.objective import Objective, find_ignored, training_loss
from geodeeplab.training.loop.parameters import (
    freeze_backbone,
    is_frozen,
    keeps_statistics,
    parameter_groups,
    set_training_mode,
)
from geodeeplab.training.loop.recipe import SCHEDULES, EpochRecord, Recipe, best_epoch, has_stalled, rate_factor
from tests.examples import few
from tests.training.drawn import make_network


def test_the_average_by_hand() -> None:
    network = nn.BatchNorm1d(1)
    average = start_average(network)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(10.0)  # type: ignore[union-attr]
        network.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    update_average(average, network, 0.75)
    state = average.state_dict()
    assert state["weight"].item() == 0.75 * 1 + 0.25 * 3
    assert state["running_mean"].item() == 2.5
    assert state["num_batches_tracked"].item() == 7
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_the_decay_warms_up() -> None:
    assert [decay_at(step, 0.998) for step in (0, 8, 10**6)] == [0.1, 0.5, 0.998]


@given(st.floats(0, 1))
def test_rates_stay_within_their_peak(spent: float) -> None:
    assert all(0 <= rate_factor(spent, schedule) <= 1 for schedule in SCHEDULES)


def test_rates_by_hand() -> None:
    assert [rate_factor(x, "one_cycle") for x in (0, 0.1, 1)] == pytest.approx([0.04, 1.0, 0.01])
    assert rate_factor(0.55, "one_cycle") == pytest.approx(0.505)
    assert rate_factor(0.5, "poly") == pytest.approx(0.5**0.9)
    with pytest.raises(OptionError, match="one_cycle, poly, constant, not 'cosine'"):
        rate_factor(0, "cosine")


def test_groups_hold_every_parameter_once_and_norms_do_not_decay() -> None:
    network = make_network()
    groups = parameter_groups(network, lr=1.0, weight_decay=0.05, backbone_factor=0.1)
    found = [parameter for group in groups for parameter in group["params"]]
    assert len(found) == len({id(p) for p in found}) == len(list(network.parameters()))
    for group in groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    backbone = {id(p) for p in network.backbone.parameters()}
    assert {(group["lr"], id(p) in backbone) for group in groups for p in group["params"]} == {
        (0.1, True),
        (1.0, False),
    }


def test_a_frozen_backbone_is_left_out_and_in_evaluation_mode() -> None:
    network = make_network()
    freeze_backbone(network)
    set_training_mode(network, fixed_statistics=False, chips_at_once=8)
    assert is_frozen(network)
    assert not network.backbone.training
    assert network.classifier.training
    assert {group["lr"] for group in parameter_groups(network, lr=1.0, weight_decay=0, backbone_factor=0.1)} == {1.0}
    freeze_backbone(network, frozen=False)
    set_training_mode(network, fixed_statistics=True, chips_at_once=8)
    norms = [module for module in network.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert network.backbone.training
    set_training_mode(network, fixed_statistics=False, chips_at_once=8)
    assert all(norm.training for norm in norms)
    network.requires_grad_(False)
    with pytest.raises(OptionError, match="every parameter of the network is frozen"):
        parameter_groups(network, lr=1.0, weight_decay=0, backbone_factor=1)


def test_statistics_that_are_learned_keep_up_with_short_runs() -> None:
    network = make_network()
    norms = [module for module in network.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    norms[0].momentum = 0.01
    set_training_mode(network, fixed_statistics=False, chips_at_once=8)
    assert {norm.momentum for norm in norms} == {0.1}
    norms[0].momentum = 0.3
    set_training_mode(network, fixed_statistics=False, chips_at_once=8)
    assert norms[0].momentum == 0.3


def test_statistics_are_kept_of_pretrained_backbones_in_small_batches() -> None:
    assert keeps_statistics(pretrained=True, chips_at_once=7)
    assert not keeps_statistics(pretrained=True, chips_at_once=8)
    assert not keeps_statistics(pretrained=False, chips_at_once=2)


def test_pooled_features_are_not_normalised_over_few_chips() -> None:
    network = make_network()
    pooling = next(module for module in network.modules() if isinstance(module, ImagePooling))
    for chips, normalises in ((7, False), (8, True)):
        set_training_mode(network, fixed_statistics=False, chips_at_once=chips)
        assert pooling.norm.training is normalises
        assert pooling.training
        assert network.backbone.training


def test_every_chip_is_drawn_once_whatever_the_processes(drawn_data: TrainingData) -> None:
    def epoch(world: int, batch_size: int) -> list[float]:
        chips: list[torch.Tensor] = []
        for rank in range(world):
            loader = training_loader(
                drawn_data.train, batch_size=batch_size, radiometry=None, workers=0, rank=rank, world=world
            )
            chips += [one for pixels, _, _ in loader for one in pixels.nan_to_num().sum((1, 2, 3))]
        return sorted(float(one) for one in chips)

    assert epoch(1, 4) == epoch(2, 2) == epoch(2, 4)
    assert len(set(epoch(1, 4))) == len(drawn_data.train)


def test_epochs_have_other_chips_and_batches_are_full(drawn_data: TrainingData) -> None:
    loader = training_loader(drawn_data.train, batch_size=3, radiometry=None, workers=0, first_epoch=4)
    first = [labels for _, _, labels in loader]
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    second = [labels for _, _, labels in loader]
    assert [len(labels) for labels in first] == [3, 3]
    assert torch.equal(first[0][0], drawn_data.train.draw(0, epoch=4).labels)
    assert torch.equal(second[0][0], drawn_data.train.draw(0, epoch=5).labels)
    parts = training_loader(drawn_data.train, batch_size=2, parts=3, radiometry=None, workers=0)
    assert [len(labels) for _, _, labels in parts] == [2, 2, 2]  # of 8 chips one step of 6
    few = training_loader(drawn_data.train, batch_size=11, radiometry=None, workers=0)
    assert [len(labels) for _, _, labels in few] == [11]


def test_validation_counts_every_chip_once_and_gives_processes_as_many_batches(drawn_data: TrainingData) -> None:
    loaders = [validation_loader(drawn_data.val, batch_size=3, workers=0, rank=rank, world=3) for rank in range(3)]
    batches = [list(loader) for loader in loaders]
    assert [len(one) for one in batches] == [1, 1, 1]
    seen = [int((labels != IGNORE_INDEX).sum()) for one in batches for _, _, labels in one]
    whole = [int((drawn_data.val.draw(i).labels != IGNORE_INDEX).sum()) for i in range(4)]
    assert seen == [sum(whole[:3]), whole[3], 0]


@pytest.mark.parametrize(
    ("pointrend", "scales", "objective"),
    few(
        [
            (True, (1.0,), Objective(dice_fraction=1 / 3, class_weights=(1.0, 0.5, 2.0))),
            (False, (1.0, 0.5), Objective(lovasz_fraction=0.5)),
            (True, (1.0, 0.5), Objective(focal_gamma=2.0)),
            (True, (1.0,), Objective(mixup=0.4)),
        ],
        2,
    ),
)
def test_the_loss_of_a_network(pointrend: bool, scales: tuple[float, ...], objective: Objective) -> None:
    torch.manual_seed(0)
    network = make_network("fcn", pointrend=pointrend, scales=scales).train()
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32), dtype=torch.uint8)
    training_loss(network, images, labels, objective).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())  # the point head's, too
    network.zero_grad()
    loss = training_loss(network, images, torch.full_like(labels, IGNORE_INDEX), objective)
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in network.parameters() if p.grad is not None)


def test_points_count_as_much_as_the_coarse_logits_on_every_fourth_label() -> None:
    """PointRend, section 3.1: the sum of both losses; written out here, numbers included."""
    torch.manual_seed(0)
    network = make_network("fcn", pointrend=True).eval()
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32), dtype=torch.uint8)
    assert network.point_head is not None
    seen = labels[:, 2::4, 2::4].long()
    with torch.inference_mode():
        coarse, fine = network.coarse_and_fine(images)
        sharp = nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")
        for objective, share in ((Objective(), 1.0), (Objective(dice_fraction=0.25, lovasz_fraction=0.25), 0.5)):
            torch.manual_seed(1)
            points = point_loss(network.point_head, coarse, fine, labels.long())
            torch.manual_seed(1)
            total = training_loss(network, images, labels, objective).item()
            assert total == pytest.approx(objective.loss(sharp, seen).item() + share * points.item(), rel=1e-5)
        assert points.item() > 0.1


def test_mixed_points_count_with_both_their_labels() -> None:
    """Of two images of one class each, every point has the share of one and of the other."""
    torch.manual_seed(0)
    network = make_network("fcn", pointrend=True).eval()
    images, labels = torch.randn(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[1] = 2
    objective = Objective(mixup=0.4, label_smoothing=0.0)
    assert network.point_head is not None
    with torch.inference_mode():
        torch.manual_seed(3)
        total = training_loss(network, images, labels, objective)
        torch.manual_seed(3)
        share = float(torch.distributions.Beta(0.4, 0.4).sample())
        coarse, fine = network.coarse_and_fine(share * images + (1 - share) * images.flip(0))
        logits, _ = point_logits(network.point_head, coarse, fine, torch.ones(2, 32, 32, dtype=torch.bool))
    soft = torch.tensor([[share, 0, 1 - share], [1 - share, 0, share]])
    sharp = nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")
    expected = sum(-(soft[..., None] * one.flatten(2).log_softmax(1)).sum(1).mean() for one in (sharp, logits))
    assert total.item() == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_of_several_scales_is_theirs_and_that_of_the_maximum() -> None:
    torch.manual_seed(0)
    network = make_network("fcn", pointrend=False, scales=(1.0, 0.5)).eval()
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32))
    objective = Objective()
    with torch.inference_mode():
        coarse, _ = network.coarse_and_fine(images)
        parts = [coarse, *network.coarse_per_scale(images)]
        sharp = [nn.functional.interpolate(part, size=(32, 32), mode="bilinear") for part in parts]
        expected = sum(objective.loss(part, labels).item() for part in sharp)
        assert training_loss(network, images, labels, objective).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"dice_fraction": 0.7, "lovasz_fraction": 0.4}, "0 to 1 together, not 0.7 and 0.4"),
        ({"label_smoothing": 1.0}, "from 0 to below 1, not 1"),
        ({"dice_average": "mean"}, "micro or macro, not 'mean'"),
        ({"mixup": 0.4, "dice_fraction": 0.2}, "only the cross-entropy takes"),
        ({"focal_gamma": -1.0}, "0 or more"),
    ],
)
def test_objectives_that_cannot_be(changes: dict[str, object], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        Objective(**changes)  # type: ignore[arg-type]


def test_classes_to_ignore_by_name_or_id(drawn_data: TrainingData) -> None:
    assert find_ignored(drawn_data.classes, ["roof"]) == find_ignored(drawn_data.classes, [3]) == (2,)
    with pytest.raises(OptionError, match=r"no class is called 'lake'.* field \(1\), wood \(2\), roof \(3\)"):
        find_ignored(drawn_data.classes, ["lake"])
    with pytest.raises(OptionError, match="at least two classes are learned; of 3, 2 are ignored"):
        find_ignored(drawn_data.classes, ["field", 2])
    with pytest.raises(OptionError, match=r"only 'field', .* `background='background'`, .*`labelled=POLYGONS`"):
        find_ignored(drawn_data.classes[:1], [])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"epochs": 0}, "1 epoch or more"),
        ({"lr": 0.0}, "above 0, such as 0.001, not 0"),
        ({"lr": math.nan}, "above 0"),
        ({"monitor": "dice"}, "miou, boundary_iou, accuracy, boundary_f1, loss, not 'dice'"),
        ({"ema_decay": 1.0}, "from 0 to below 1"),
        ({"schedule": "step"}, "not 'step'"),
    ],
)
def test_recipes_that_cannot_be(changes: dict[str, object], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        Recipe(**{"epochs": 1, "lr": 1.0} | changes)  # type: ignore[arg-type]


RECORD = EpochRecord(
    epoch=1,
    loss=1.0,
    val_loss=0.5,
    miou=0.25,
    boundary_iou=None,
    accuracy=0.5,
    iou=(0.25, None),
    lr=0.1,
    seconds=2.0,
    step_losses=(1.5, 0.5),
)


def test_records_survive_json_and_read_as_a_line() -> None:
    assert EpochRecord.from_mapping(RECORD.to_mapping()) == RECORD
    line = "epoch 1/9: loss 1.000, val loss 0.500, mIoU 0.250, boundary none, lr 1.0e-01, 2.0 s"
    assert RECORD.line(9) == line


def test_the_best_epoch_and_when_it_is_enough() -> None:
    history = [dataclasses.replace(RECORD, miou=miou, val_loss=loss) for miou, loss in ((0.1, 3), (0.4, 1), (0.4, 2))]
    assert best_epoch(history, "miou") == best_epoch(history, "loss") == 1
    assert best_epoch(history, "boundary_iou") == 2  # never known: the last one
    assert best_epoch([], "miou") is None
    assert has_stalled(history, monitor="miou", patience=1)
    assert not has_stalled(history, monitor="miou", patience=2)
    assert not has_stalled(history, monitor="miou", patience=None)


def test_a_rate_is_suggested_half_way_along_the_longest_valley() -> None:
    rates = [10.0**power for power in range(-9, 13)]
    falling = [2.0, 2.1, *(1.9 - 0.1 * step for step in range(13)), 3.0, 9.0]  # of 14 losses the last is number 14
    assert suggest_rate(rates, falling) == rates[14 - 14 + 4 + 2]
    assert suggest_rate(rates, [2.0, 2.1, 1.8, 1.4, 1.0, 3.0, 9.0]) == rates[4 - 4 + 1 + 0]
    with_gap = [5.0, 6.0, 7.0, 3.0, 9.0, 2.9, 9.0, 2.8, 9.0, 2.7, 9.0, 2.6]  # 6 losses: 7, 3, 2.9, 2.8, 2.7, 2.6
    assert suggest_rate(rates, with_gap) == rates[11 - 6 + 2 + 1]
    assert suggest_rate(rates, [1.0, 2.0, 3.0]) == rates[0]
    with pytest.raises(OptionError, match="no loss of the sweep is finite"):
        suggest_rate([], [])


@given(st.lists(st.floats(0.1, 40), min_size=1, max_size=20), st.integers(1, 6))
def test_a_sweep_ends_where_it_diverges_however_many_losses_are_read_at_once(losses: list[float], at_once: int) -> None:
    rates = [10.0**power for power in range(len(losses))]
    one, many = SweepCurve(), SweepCurve()
    any(not one.follow([rate], [loss]) for rate, loss in zip(rates, losses, strict=True))
    starts = range(0, len(losses), at_once)
    any(not many.follow(rates[at : at + at_once], losses[at : at + at_once]) for at in starts)
    assert (one.rates, one.losses) == (many.rates, many.losses)
    assert one.rates == rates[: len(one.rates)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_the_longest_valley_is_what_all_choices_give(losses: list[int]) -> None:
    """By brute force: of all choices of losses that fall, the longest, and of those the one that ends first."""
    choices = (
        choice
        for length in range(1, len(losses) + 1)
        for choice in itertools.combinations(range(len(losses)), length)
        if all(losses[a] > losses[b] for a, b in itertools.pairwise(choice))
    )
    longest = max(choices, key=lambda choice: (len(choice), -choice[-1]))
    end, length = longest[-1], len(longest)
    index = max(0, end - length + length // 3 + length // 6)
    assert suggest_rate(range(len(losses)), losses) == index
