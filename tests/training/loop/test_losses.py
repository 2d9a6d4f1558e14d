from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from geodeeplab.errors import OptionError
from geodeeplab.training import IGNORE_INDEX
from geodeeplab.training.loop.losses import (
    class_weights,
    cross_entropy,
    dice_loss,
    drop_classes,
    focal_loss,
    lovasz_softmax,
    mixed_cross_entropy,
)

Loss = Callable[[Tensor, Tensor], Tensor]
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])
LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "weighted": lambda logits, labels: cross_entropy(logits, labels, weights=WEIGHTS, label_smoothing=0.1),
    "focal": lambda logits, labels: focal_loss(logits, labels, weights=WEIGHTS),
    "focal with a small gamma": lambda logits, labels: focal_loss(logits, labels, gamma=0.5),
    "micro Dice": lambda logits, labels: dice_loss(logits, labels, average="micro"),
    "macro Dice": lambda logits, labels: dice_loss(logits, labels, average="macro"),
    "Lovász": lovasz_softmax,
    "mixup": lambda logits, labels: mixed_cross_entropy(logits, labels, labels.roll(1, 0), 0.3, weights=WEIGHTS),
}


def draw(seed: int, *, ignored: float = 0.3, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, 3, 5, 4, generator=rng)
    labels = torch.randint(0, 3, (2, 5, 4), generator=rng)
    labels[torch.rand(2, 5, 4, generator=rng) < ignored] = IGNORE_INDEX
    return logits.requires_grad_(), labels.to(torch.uint8)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_batch_without_a_label_has_no_loss_and_no_gradient(loss: Loss) -> None:
    logits, labels = draw(0)
    value = loss(logits, torch.full_like(labels, IGNORE_INDEX))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "mixup"])  # there, a pixel has two labels
@given(seed=st.integers(0, 20))
def test_what_is_ignored_changes_nothing(name: str, seed: int) -> None:
    loss = LOSSES[name]
    logits, labels = draw(seed)
    other = torch.where((labels == IGNORE_INDEX).unsqueeze(1), torch.tensor(40.0), logits.detach()).requires_grad_()
    first, second = loss(logits, labels), loss(other, labels)
    second.backward()
    assert second.item() == pytest.approx(first.item(), rel=1e-5, abs=1e-6)
    assert other.grad is not None
    assert (other.grad.movedim(1, -1)[labels == IGNORE_INDEX] == 0).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_gradients_are_finite_where_the_network_is_certain(loss: Loss) -> None:
    logits, labels = draw(1, scale=300)
    loss(logits, labels).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@given(seed=st.integers(0, 20), smoothing=st.sampled_from([0.0, 0.1]), weighted=st.booleans())
def test_cross_entropy_is_torchs(seed: int, smoothing: float, weighted: bool) -> None:
    logits, labels = draw(seed)
    weights = WEIGHTS if weighted else None
    theirs = F.cross_entropy(logits, labels.long(), weights, ignore_index=IGNORE_INDEX, label_smoothing=smoothing)
    ours = cross_entropy(logits, labels, weights=weights, label_smoothing=smoothing)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


@given(seed=st.integers(0, 20), share=st.floats(0, 1))
def test_mixup_is_torchs_cross_entropy_with_soft_labels(seed: int, share: float) -> None:
    logits, labels = draw(seed, ignored=0)
    others = labels.roll(1, 0)
    soft = sum(p * F.one_hot(x.long(), 3) for p, x in ((share, labels), (1 - share, others)))
    assert isinstance(soft, Tensor)
    theirs = F.cross_entropy(logits, soft.movedim(-1, 1))
    assert mixed_cross_entropy(logits, labels, others, share).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_mixup_honours_what_either_image_ignores() -> None:
    logits = torch.zeros(1, 2, 1, 2)  # every probability is a half
    logits[0, 0, 0, 1] = 5.0
    first = torch.tensor([[[0, IGNORE_INDEX]]], dtype=torch.uint8)
    second = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    certain = -float(torch.log_softmax(torch.tensor([5.0, 0.0]), 0)[0])
    expected = (0.75 * np.log(2) + 0.25 * np.log(2) + 0.25 * certain) / (0.75 + 0.25 + 0.25)
    assert mixed_cross_entropy(logits, first, second, 0.75).item() == pytest.approx(expected, rel=1e-5)


@given(seed=st.integers(0, 20))
def test_focal_loss_is_its_formula(seed: int) -> None:
    logits, labels = draw(seed)
    seen = labels != IGNORE_INDEX
    if not seen.any():
        return
    p = logits.softmax(1).movedim(1, -1)[seen].gather(1, labels[seen].long().unsqueeze(1)).detach().numpy()
    expected = np.mean(-((1 - p.astype(np.float64)) ** 2) * np.log(p.astype(np.float64)))
    assert focal_loss(logits, labels, gamma=2.0).item() == pytest.approx(expected, rel=1e-4)


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    logits, labels = draw(3)
    ours = focal_loss(logits, labels, gamma=0.0, weights=WEIGHTS)
    assert ours.item() == pytest.approx(cross_entropy(logits, labels, weights=WEIGHTS).item(), rel=1e-5)


def test_dice_by_hand() -> None:
    logits = torch.tensor([[[60.0, 60.0, -60.0, 60.0]], [[-60.0, -60.0, 60.0, -60.0]]]).movedim(0, 1)  # 0 0 1 0
    labels = torch.tensor([[0, 1, 1, IGNORE_INDEX]])
    first, second = (2 * 1 + 1) / (2 + 1 + 1), (2 * 1 + 1) / (1 + 2 + 1)  # 2·both + 1 over both sums + 1
    assert dice_loss(logits, labels, average="macro").item() == pytest.approx(1 - (first + second) / 2, abs=1e-6)
    assert dice_loss(logits, labels, average="micro").item() == pytest.approx(1 - (2 * 2 + 1) / (3 + 3 + 1), abs=1e-6)


def test_macro_dice_leaves_out_classes_that_do_not_occur() -> None:
    logits, labels = draw(4)
    labels[labels == 2] = IGNORE_INDEX
    probs = logits.detach().softmax(1).movedim(1, -1)[labels != IGNORE_INDEX]
    truth = F.one_hot(labels[labels != IGNORE_INDEX].long(), 3)
    scores = [(2 * (probs[:, i] * truth[:, i]).sum() + 1) / (probs[:, i].sum() + truth[:, i].sum() + 1) for i in (0, 1)]
    assert dice_loss(logits, labels).item() == pytest.approx(1 - float(sum(scores)) / 2, rel=1e-5)


def test_another_average_is_refused() -> None:
    with pytest.raises(OptionError, match="micro or macro, not 'weighted'"):
        dice_loss(*draw(0), average="weighted")


@given(seed=st.integers(0, 20))
def test_lovasz_of_certain_labels_is_one_minus_iou(seed: int) -> None:
    logits, labels = draw(seed)
    given_labels = logits.argmax(1)
    certain = 100.0 * F.one_hot(given_labels, 3).movedim(-1, 1).float()
    seen = labels != IGNORE_INDEX
    ious = []
    for index in range(3):
        true, drawn = (labels == index) & seen, (given_labels == index) & seen
        if true.any():
            ious.append(float((true & drawn).sum() / (true | drawn).sum()))
    expected = 1 - float(np.mean(ious)) if ious else 0.0
    assert lovasz_softmax(certain, labels).item() == pytest.approx(expected, abs=1e-5)


@given(seed=st.integers(0, 20))
def test_lovasz_is_the_convex_closure_computed_naively(seed: int) -> None:
    logits, labels = draw(seed)
    seen = labels != IGNORE_INDEX
    probs, flat = logits.detach().softmax(1).movedim(1, -1)[seen].double().numpy(), labels[seen].numpy()
    losses = []
    for index in np.unique(flat):
        truth = flat == index
        errors = np.abs(truth - probs[:, index])
        order, total, before = np.argsort(-errors), 0.0, 0.0
        for count in range(1, len(order) + 1):  # the jump of 1 − IoU as the worst errors are added one by one
            wrong = np.isin(np.arange(len(flat)), order[:count])
            hits = (truth & ~wrong).sum()
            now = 1 - hits / (truth | wrong).sum()
            total, before = total + errors[order[count - 1]] * (now - before), now
        losses.append(total)
    expected = np.mean(losses) if losses else 0.0
    assert lovasz_softmax(logits, labels).item() == pytest.approx(expected, abs=1e-5)


def test_class_weights_by_hand() -> None:
    assert class_weights([400, 100, 100, 200]).tolist() == pytest.approx([0.5**0.5, 2**0.5, 2**0.5, 1.0])
    assert class_weights([10**9, 1, 0]).tolist() == [pytest.approx(3**-0.5), 2.0, 2.0]


def test_dropped_classes_are_ignored() -> None:
    labels = torch.tensor([[0, 1, 2, IGNORE_INDEX]], dtype=torch.uint8)
    assert drop_classes(labels, [0, 2]).tolist() == [[IGNORE_INDEX, 1, IGNORE_INDEX, IGNORE_INDEX]]
    assert drop_classes(labels, []) is labels
