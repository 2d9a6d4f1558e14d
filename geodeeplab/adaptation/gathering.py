"""The cells that a model is made from: tiles chosen, features computed, labelled cells and ground taken."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from geodeeplab.adaptation.cache import FeatureCache
from geodeeplab.adaptation.cells import SceneLabels, ground_cells, labelled_cells, spread_tiles, tiles_with_labels
from geodeeplab.adaptation.encoders import fit_projections
from geodeeplab.adaptation.samples import Cells, LabelledCells
from geodeeplab.adaptation.tiles import iter_features
from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.models import AdaptedNetwork, ModelClass
from geodeeplab.pipeline.plan import Plan
from geodeeplab.tiling import Tile

GROUND_CELLS, GROUND_TILES = 24_000, 24
"""Cells, and tiles, that stand for the ground of all scenes."""
PROJECTION_TILES = 6
"""Tiles that principal components are fitted to."""


@dataclass(frozen=True, kw_only=True)
class OpenedScenes:
    """Scenes with their labels, open."""

    plans: list[Plan]
    """How `segment` will run each of them."""
    labels: list[SceneLabels]
    """The labels of each, on the grid that the model sees."""
    classes: tuple[ModelClass, ...]
    """The classes of all."""


def gather_cells(
    opened: OpenedScenes,
    network: AdaptedNetwork,
    cache: FeatureCache,
    *,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[LabelledCells, Cells]:
    """Give the labelled cells of all scenes, and those that stand for their ground.

    Raises:
        OptionError: nothing is labelled, or all of it is of one class.
    """
    plans, count = opened.plans, len(opened.plans)
    blocks = [one.on_model_grid(one.whole) for one in plans]
    sample = [
        spread_tiles(one.lattice, block, max(1, PROJECTION_TILES // count))
        for one, block in zip(plans, blocks, strict=True)
    ]
    fit_projections(network, plans, sample, cache)
    spread = [
        spread_tiles(one.lattice, block, max(2, GROUND_TILES // count))
        for one, block in zip(plans, blocks, strict=True)
    ]
    drawn = [tiles_with_labels(one, plan.lattice) for one, plan in zip(opened.labels, plans, strict=True)]
    if not any(drawn):
        raise OptionError(
            "no polygon lies on the scene, so there is nothing to learn from: check that both show the same place, and "
            "that their CRS are right"
        )
    tiles = [_united(*pair) for pair in zip(spread, drawn, strict=True)]
    total, before = sum(map(len, tiles)), 0
    per_tile = -(-GROUND_CELLS // sum(map(len, spread)))
    labelled, ground = [], []
    for number, (plan, some) in enumerate(zip(plans, tiles, strict=True)):
        here = {(tile.row, tile.col) for tile in spread[number]}

        def tell(done: int, _: int, before: int = before) -> None:
            progress(before + done, total)

        for found in iter_features(plan, network, some, cache, progress=tell):
            labelled.append(labelled_cells(found, opened.labels[number], plan.lattice, seed=seed))
            if (found.tile.row, found.tile.col) in here:
                ground.append(ground_cells(found, plan.lattice, count=per_tile, scene=number, seed=seed))
        before += len(some)
    return _joined_labels(labelled, opened.classes), _joined(ground)


def _united(*tiles: Sequence[Tile]) -> list[Tile]:
    """Give each tile of several lists once, in the lattice's order."""
    found = {(tile.row, tile.col): tile for some in tiles for tile in some}
    return [found[key] for key in sorted(found)]


def _joined(parts: Sequence[Cells]) -> Cells:
    names = ("features", "scene", "row", "col")
    return Cells(**{name: np.concatenate([getattr(one, name) for one in parts]) for name in names})


def _joined_labels(parts: Sequence[LabelledCells], classes: Sequence[ModelClass]) -> LabelledCells:
    """Join labelled cells; polygons are numbered from 0 over all scenes, apart by class.

    Raises:
        OptionError: there is none, or all are of one class.
    """
    joined = _joined(parts)
    label, polygon = (np.concatenate([getattr(one, name) for one in parts]) for name in ("label", "polygon"))
    if not len(label):
        raise OptionError("no polygon covers a valid pixel of the scene: check its nodata value, and where they lie")
    present = np.unique(label)
    if len(present) < 2:
        raise OptionError(
            f"on the scene all polygons are of one class, '{classes[present[0]].name}': draw polygons of another, too"
        )
    missing = [item.name for number, item in enumerate(classes) if number not in present]
    if missing:
        warnings.warn(
            f"no polygon of {', '.join(missing)} covers a valid pixel, so the map will show none of it: draw one",
            GeoDeepLabWarning,
            stacklevel=4,
        )
    key = np.column_stack([joined.scene, label, polygon])
    numbers = np.unique(key, axis=0, return_inverse=True)[1]
    return LabelledCells(**vars(joined), label=label, polygon=numbers.reshape(-1).astype(np.int64))
