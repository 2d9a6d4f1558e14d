"""The head: trees learn from the polygons, and a perceptron, which is what is kept, learns from the trees.

Extremely randomised trees (Geurts et al. 2006, doi 10.1007/s10994-006-6226-1) take twenty polygons a class without any
tuning and are not led astray by features that say nothing. They are slow to run and know no GPU, so a small perceptron
is distilled from them (Hinton et al. 2015, arXiv 1503.02531) on ground of the scene itself, labelled or not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geodeeplab.adaptation.cells import choose_cells
from geodeeplab.adaptation.samples import LabelledCells, balanced_weights
from geodeeplab.inference.lanes import torch_threads
from geodeeplab.models import AdaptedNetwork, make_head

Features = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]

TREES, LEAF = 100, 2
"""Trees, and the fewest cells of a leaf."""
MOST_OF_POLYGON = 60
"""Cells that trees see of a polygon, at most: more of them say the same again."""
MEMBERS = 5
"""Groups of trees whose disagreement is the doubt."""
SURE_SHARE, LEAST_SURE, MOST_SURE = 0.3, 20, 6000
"""Of the cells of each class, the surest that trees learn from: a share, so many at least, so many at most in all."""
SURE_WEIGHT = 0.5
"""What they count, beside the polygons."""
SHARE_POWER = 0.5
"""To this power are the classes' shares of the ground put into the probabilities."""
STEPS, BATCH, RATE, DECAY = 1200, 256, 4e-3, 1e-3
"""Of the perceptron's training."""
LABELLED_WEIGHT = 0.3
"""Weight of a labelled cell beside one of the ground."""
LEAST = 1e-4
"""The least probability that the perceptron is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """Fitted forests, whose probabilities are averaged."""

    forests: tuple[tuple[Any, slice], ...]
    """Forests of scikit-learn, each with the features that it sees."""
    classes: int
    """Number K of classes, of which some may be in no polygon."""

    def __call__(self, features: Features) -> Probabilities:
        """Give (n, K) probabilities of features (n, F)."""
        found = [self._whole(forest, forest.predict_proba(features[:, seen])) for forest, seen in self.forests]
        return np.asarray(np.mean(found, axis=0), dtype=np.float32)

    def with_last(self, before: Probabilities, features: Features) -> Probabilities:
        """Give (n, K) probabilities of features (n, F), of which all forests but the last gave `before`."""
        forest, seen = self.forests[-1]
        last = self._whole(forest, forest.predict_proba(features[:, seen]))
        return np.asarray(before + (last - before) / len(self.forests), dtype=np.float32)

    def members(self, features: Features) -> Probabilities:
        """Give (M, n, K) probabilities of groups of trees, each with trees of every forest."""
        return np.stack([self._member(features, number) for number in range(MEMBERS)])

    def _member(self, features: Features, number: int) -> Probabilities:
        found = []
        for forest, seen in self.forests:
            trees, here = forest.estimators_[number::MEMBERS], np.ascontiguousarray(features[:, seen])
            found.append(self._whole(forest, sum(tree.predict_proba(here) for tree in trees) / len(trees)))
        return np.asarray(np.mean(found, axis=0), dtype=np.float32)

    def _whole(self, forest: Any, found: npt.NDArray[Any]) -> Probabilities:  # noqa: ANN401 - scikit-learn has no types
        probabilities = np.zeros((len(found), self.classes), dtype=np.float32)
        probabilities[:, forest.classes_] = found
        return probabilities


def fit_trees(
    cells: LabelledCells, *, classes: int, seed: int, threads: int, encoded: int | None = None, trees: int | None = None
) -> Trees:
    """Fit trees to labelled cells; every class counts the same, and in it every polygon.

    Args:
        cells: what the polygons cover.
        classes: number of classes.
        seed: of the trees.
        threads: to fit with, and to run.
        encoded: the first feature that is an encoder's: a second forest sees no others, for colours are many and drown
            them; None for no such forest.
        trees: of each forest; by default `TREES`.
    """
    chosen = cells.take(choose_cells(cells.polygon, MOST_OF_POLYGON, np.random.default_rng(seed)))
    weights = balanced_weights(chosen.label, chosen.polygon)
    views = [slice(None)] if encoded is None else [slice(None), slice(encoded, None)]
    forests = [
        (_forest(seed + number, threads, trees).fit(chosen.features[:, seen], chosen.label, weights), seen)
        for number, seen in enumerate(views)
    ]
    return Trees(forests=tuple(forests), classes=classes)


def add_ground(
    trees: Trees, cells: LabelledCells, ground: Features, probabilities: Probabilities, *, seed: int, threads: int
) -> Trees:
    """Add a forest that learns from the ground, too: from those cells of each class that the others are surest of.

    This is self-training, once (Scudder 1965, doi 10.1109/TIT.1965.1053799): ground outside the polygons varies more
    than what lies in them.

    Args:
        trees: fitted to the cells.
        cells: what the polygons cover.
        ground: features (n, F) of cells that stand for the ground.
        probabilities: (n, K) of them.
        seed: of the trees.
        threads: to fit with, and to run.
    """
    random = np.random.default_rng(seed)
    chosen = cells.take(choose_cells(cells.polygon, MOST_OF_POLYGON, random))
    likely, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    surest = []
    for number in np.unique(likely):
        of_class = np.flatnonzero(likely == number)
        count = max(LEAST_SURE, int(SURE_SHARE * len(of_class)))
        surest.append(of_class[np.argsort(-sure[of_class], kind="stable")[:count]])
    taken = random.permutation(np.concatenate(surest))[:MOST_SURE]
    label = likely[taken]
    of_ground = 1 / np.bincount(label)[label]
    drawn = balanced_weights(chosen.label, chosen.polygon)
    weights = np.concatenate([drawn / drawn.sum(), SURE_WEIGHT * of_ground / of_ground.sum()])
    forest = _forest(seed + len(trees.forests), threads).fit(
        np.concatenate([chosen.features, ground[taken]]),
        np.concatenate([chosen.label, label]),
        weights * len(weights),
    )
    return replace(trees, forests=(*trees.forests, (forest, slice(None))))


def _forest(seed: int, threads: int, trees: int | None = None) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(trees or TREES, min_samples_leaf=LEAF, n_jobs=threads, random_state=seed)


def class_shares(ground: Probabilities) -> npt.NDArray[np.float64]:
    """Give the classes' shares (K,) of the ground, by the probabilities (n, K) of a sample of it."""
    return np.asarray(ground.mean(axis=0, dtype=np.float64))


def correct_shares(probabilities: Probabilities, shares: npt.NDArray[np.float64]) -> Probabilities:
    """Put the shares (K,) of the ground in the place of equal ones, by half of their logarithms.

    Polygons are drawn so many a class, and the ground is not. It is done once: to iterate it lets rare classes vanish.
    """
    corrected = probabilities * (shares * len(shares)) ** SHARE_POWER
    return np.asarray(corrected / corrected.sum(axis=1, keepdims=True), dtype=np.float32)


def distil(
    network: AdaptedNetwork,
    ground: tuple[Features, Probabilities],
    labelled: tuple[Features, Probabilities],
    *,
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    """Train a network's head, in place, to give what the trees give: on the ground, and on labelled cells.

    It takes one thread: the steps are small, and its weights do not depend on the machine's load or cores.

    Args:
        network: with its features; centre and scale are set, too.
        ground: features (n, F) and the trees' probabilities (n, K) of cells that stand for the ground.
        labelled: the same of cells in polygons.
        seed: of weights and order.
        progress: called with steps done and steps in all.
    """
    features = torch.from_numpy(np.concatenate([ground[0], labelled[0]]))  # (n, F)
    targets = torch.from_numpy(np.concatenate([ground[1], labelled[1]]).clip(LEAST))
    targets = targets / targets.sum(dim=1, keepdim=True)
    weights = torch.cat([torch.ones(len(ground[0])), torch.full((len(labelled[0]),), LABELLED_WEIGHT)])
    with torch_threads(1):
        _train(network, features, targets, weights, seed=seed, progress=progress)


def _train(
    network: AdaptedNetwork,
    features: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    network.centre.copy_(features.mean(0))
    network.scale.copy_(1 / features.std(0).clamp_min(1e-3))
    inputs = network.standardise(features)
    head, generator = _fresh_head(network, seed)
    layers = [one for one in head if isinstance(one, nn.Linear)]
    optimizer = torch.optim.AdamW(
        [p for one in layers for p in one.parameters()], lr=RATE, weight_decay=DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    order = torch.multinomial(weights, STEPS * BATCH, replacement=True, generator=generator).view(STEPS, BATCH)
    for step, chosen in enumerate(order, start=1):
        logits = head(inputs[chosen])
        loss = -(logits.log_softmax(dim=1) * targets[chosen]).sum(dim=1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        progress(step, STEPS)
    with torch.no_grad():
        for own, trained in zip((one for one in network.head if isinstance(one, nn.Conv2d)), layers, strict=True):
            assert own.bias is not None
            own.weight.copy_(trained.weight[..., None, None])
            own.bias.copy_(trained.bias)


def head_probabilities(network: AdaptedNetwork, features: Features) -> Probabilities:
    """Give the head's probabilities (n, K) of features (n, F)."""
    with torch.inference_mode():
        inputs = network.standardise(torch.from_numpy(features))
        logits = network.head(inputs.T[None, :, :, None])[0, :, :, 0].T  # (n, K)
        found: Probabilities = logits.softmax(dim=1).numpy()
    return found


def _fresh_head(network: AdaptedNetwork, seed: int) -> tuple[nn.Sequential, torch.Generator]:
    """Make a head of linear layers like the network's, drawn by a seed of its own."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for one in make_head(network.feature_count, network.numbers.hidden, network.numbers.num_classes):
        if isinstance(one, nn.Conv2d):
            linear = nn.Linear(one.in_channels, one.out_channels)
            with torch.no_grad():
                linear.weight.normal_(0, (2 / one.in_channels) ** 0.5, generator=generator)
                linear.bias.zero_()
            layers.append(linear)
        else:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers), generator
