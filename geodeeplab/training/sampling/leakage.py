"""How much ground training and validation scenes share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geodeeplab.errors import SceneError
from geodeeplab.raster import Grid
from geodeeplab.training.sampling.ground import Ground, grounds_of, to_ground

if TYPE_CHECKING:
    import shapely

OUTLINE_STEPS = 16
"""Points along each side of a scene's outline."""


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """Ground that is in scenes of both sides."""

    share: float | None
    """Share of the validation scenes' ground that training scenes show, too; None where no scene has a CRS."""
    pairs: tuple[tuple[str, str], ...]
    """Names of training and validation scenes that overlap."""
    unknown: tuple[str, ...]
    """Scenes without a CRS: nobody can tell what ground they show."""


def shared_ground(grids: Sequence[Grid], names: Sequence[str], is_val: Sequence[bool]) -> Leakage:
    """Compare the outlines of training scenes with those of validation scenes.

    Args:
        grids: of all scenes.
        names: of the same.
        is_val: which are for validation.
    """
    import shapely

    grounds = grounds_of(grids)
    there = [number for number, grid in enumerate(grids) if grid.crs is not None]
    unknown = tuple(names[number] for number in range(len(grids)) if number not in there)
    outlines = {number: _outline(grids[number], grounds[number]) for number in there}
    train, val = ([number for number in there if is_val[number] == wanted] for wanted in (False, True))
    if not train or not val:
        return Leakage(share=None, pairs=(), unknown=unknown)
    val_ground, train_ground = (shapely.union_all([outlines[number] for number in side]) for side in (val, train))
    tree = shapely.STRtree([outlines[number] for number in train])
    pairs = [
        (names[train[other]], names[number])
        for number in val
        for other in sorted(tree.query(outlines[number]).tolist())
        if shapely.area(shapely.intersection(outlines[number], outlines[train[other]])) > 0
    ]
    share = shapely.area(shapely.intersection(val_ground, train_ground)) / shapely.area(val_ground)
    return Leakage(share=float(share), pairs=tuple(pairs), unknown=unknown)


def _outline(grid: Grid, ground: Ground) -> "shapely.Polygon":
    """Give the outline of a scene on its ground.

    Raises:
        SceneError: the ground's CRS is not defined there.
    """
    import shapely

    along = np.linspace(0, 1, OUTLINE_STEPS, endpoint=False)
    zeros, ones = np.zeros_like(along), np.ones_like(along)
    cols = np.concatenate([along, ones, 1 - along, zeros]) * grid.width
    rows = np.concatenate([zeros, along, ones, 1 - along]) * grid.height
    points = to_ground(grid, ground, cols, rows)
    if not np.isfinite(points).all():
        raise SceneError(
            f"a scene in {grid.crs} reaches beyond where {ground.grid.crs} is defined, so ground in common cannot be "
            "looked for: prepare scenes of one region"
        )
    return shapely.polygons(points.T)
