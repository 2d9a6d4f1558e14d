"""Learning from cells: trees, a head that does as they do, and a report."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from geodeeplab.adaptation.crossvalidation import cross_validate, fold_polygons, group_polygons
from geodeeplab.adaptation.estimate import make_report
from geodeeplab.adaptation.head import (
    Trees,
    add_ground,
    class_shares,
    correct_shares,
    distil,
    fit_trees,
    head_probabilities,
)
from geodeeplab.adaptation.report import Report
from geodeeplab.adaptation.samples import Cells, LabelledCells
from geodeeplab.models import AdaptedNetwork, ModelClass, round_weights

LEFT_OUT_TREES = 50
"""Trees of a forest that is fitted to some of the polygons only, for the report."""

Progress = Callable[[str, int, int], None]
"""Called with a stage, what is done of it, and what there is in all; it may raise to cancel."""


def learn(
    network: AdaptedNetwork,
    cells: LabelledCells,
    ground: Cells,
    classes: Sequence[ModelClass],
    *,
    seed: int,
    threads: int | None,
    progress: Progress,
) -> tuple[Trees, Report]:
    """Fit the trees, train the network's head by them, in place, and report.

    The head learns in one thread; trees that have not seen all polygons are fitted beside it.
    """
    used = max(1, torch.get_num_threads() if threads is None else threads)
    fit = partial(fit_trees, classes=len(classes), seed=seed, threads=used)
    trees = fit(cells, encoded=network.colour.channels if network.encoders else None)
    found = trees(ground.features)
    trees = add_ground(
        trees, cells, ground.features, correct_shares(found, class_shares(found)), seed=seed, threads=used
    )
    found = trees.with_last(found, ground.features)
    shares = class_shares(found)
    corrected = correct_shares(found, shares)
    with ThreadPoolExecutor(1) as beside:
        left_out = beside.submit(
            _cross_validated, cells, partial(fit, trees=LEFT_OUT_TREES), shares, len(classes), seed=seed
        )
        distil(
            network,
            (ground.features, corrected),
            (cells.features, correct_shares(trees(cells.features), shares)),
            seed=seed,
            progress=partial(progress, "head"),
        )
        round_weights(network)
        mapped = head_probabilities(network, ground.features).argmax(axis=1)
        progress("report", 0, 1)
        probabilities = left_out.result()
    report = make_report(
        cells,
        probabilities,
        classes=[item.name for item in classes],
        map_shares=np.bincount(mapped, minlength=len(classes)) / len(mapped),
        map_probabilities=corrected,
        places=group_polygons(cells),
        seed=seed,
    )
    progress("report", 1, 1)
    return trees, report


def _cross_validated(
    cells: LabelledCells,
    fit: Callable[[LabelledCells], Trees],
    shares: npt.NDArray[np.float64],
    classes: int,
    *,
    seed: int,
) -> npt.NDArray[np.float32]:
    """Give each cell the probabilities (n, K) of trees that have not seen its polygon; NaN where there are none."""
    folds = fold_polygons(cells, seed=seed)
    if (folds < 0).all():
        return np.full((len(cells), classes), np.nan, dtype=np.float32)

    def fit_one(some: LabelledCells) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
        trees = fit(some)
        return lambda features: correct_shares(trees(features), shares)

    return cross_validate(cells, fit_one, folds=folds)
