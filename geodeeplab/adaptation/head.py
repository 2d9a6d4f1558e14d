"""The head: trees learn from the polygons, and a perceptron, which is what is kept, learns from the trees.

Extremely randomised trees (Geurts et al. 2006, doi 10.1007/s10994-006-6226-1) take twenty polygons a class without any
tuning and are not led astray by features that say nothing. They are slow to run and know no GPU, so a small perceptron
is distilled from them (Hinton et al. 2015, arXiv 1503.02531) on ground of the scene itself, labelled or not.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
SHARE_POWER = 0.5
"""To this power are the classes' shares of the ground put into the probabilities."""
STEPS, BATCH, RATE, DECAY = 800, 1024, 4e-3, 1e-3
"""Of the perceptron's training."""
LABELLED_WEIGHT = 0.3
"""Weight of a labelled cell beside one of the ground."""
LEAST = 1e-4
"""The least probability that the perceptron is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """Fitted trees."""

    forest: Any
    """A forest of scikit-learn."""
    classes: int
    """Number K of classes, of which some may be in no polygon."""

    def __call__(self, features: Features) -> Probabilities:
        """Give (n, K) probabilities of features (n, F)."""
        return self._whole(self.forest.predict_proba(features))

    def members(self, features: Features) -> Probabilities:
        """Give (M, n, K) probabilities of groups of trees."""
        groups = [self.forest.estimators_[number::MEMBERS] for number in range(MEMBERS)]
        found = [sum(tree.predict_proba(features) for tree in group) / len(group) for group in groups]
        return np.stack([self._whole(one) for one in found])

    def _whole(self, found: npt.NDArray[Any]) -> Probabilities:
        probabilities = np.zeros((len(found), self.classes), dtype=np.float32)
        probabilities[:, self.forest.classes_] = found
        return probabilities


def fit_trees(cells: LabelledCells, *, classes: int, seed: int, threads: int) -> Trees:
    """Fit trees to labelled cells; every class counts the same, and in it every polygon."""
    from sklearn.ensemble import ExtraTreesClassifier

    chosen = cells.take(choose_cells(cells.polygon, MOST_OF_POLYGON, np.random.default_rng(seed)))
    forest = ExtraTreesClassifier(TREES, min_samples_leaf=LEAF, n_jobs=threads, random_state=seed)
    forest.fit(chosen.features, chosen.label, balanced_weights(chosen.label, chosen.polygon))
    return Trees(forest=forest, classes=classes)


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
    optimizer = torch.optim.AdamW([p for one in layers for p in one.parameters()], lr=RATE, weight_decay=DECAY)
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
