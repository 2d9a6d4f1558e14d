"""The ground sample distance at which the model sees the scene: a pure scale of the scene's own grid."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.inference import FinishedRows, Wanted
from geodeeplab.models import Contract
from geodeeplab.pipeline.crop import crop_grid
from geodeeplab.raster import Grid, first_at, scaled_indices
from geodeeplab.raster.grid import TRUE_SCALE_TOLERANCE
from geodeeplab.tiling import Shard

TOLERANCE = 1.25
"""Up to this ratio a model takes a scene as it is: augmentation by scale covers more in training."""
LARGEST_ENLARGEMENT = 16
"""Beyond it there is nothing in a pixel that a model could see."""


@dataclass(frozen=True, kw_only=True)
class Zoom:
    """How many pixels of the model's grid lie on one of the scene's."""

    factor: tuple[float, float]
    """(along rows, along columns)."""
    gsd_m: float
    """The ground sample distance that the model then sees, in metres."""
    note: str
    """What is done, in one line."""


def ground_of(grid: Grid, area: Shard | None) -> Grid:
    """Give the grid whose ground sample distance counts: the scene's, or that of a block of it where it is another.

    A map of the world in Web Mercator or degrees has pixels of very different sizes on the ground.
    """
    if area is None or grid.gsd_m is None:
        return grid
    part = crop_grid(grid, area)
    if part.gsd_m is None or all(
        abs(here / there - 1) <= TRUE_SCALE_TOLERANCE for here, there in zip(part.gsd_m, grid.gsd_m, strict=True)
    ):
        return grid
    return part


def choose_zoom(grid: Grid, contract: Contract, wanted: str | float | None) -> Zoom | None:
    """Decide on the scale; None leaves the scene as it is.

    Args:
        grid: the scene's, or that of the part that counts, see `ground_of`.
        contract: the model's, with `gsd_m` where it is known.
        wanted: `native`, `model`, metres, or None: `model` where both distances are known and differ by more than a
            quarter.

    Raises:
        OptionError: if the distance is no positive number, or one that is needed is not known.
    """
    if wanted == "native":
        return None
    target = _target(contract, wanted)
    if target is None or (grid.gsd_m is None and wanted is None):
        return None
    if grid.gsd_m is None:
        raise OptionError(
            "the scene's pixels have no known size in metres, so they cannot be scaled: "
            "georeference the scene, or pass `gsd_m='native'`"
        )
    factor = grid.gsd_m[1] / target, grid.gsd_m[0] / target
    is_near = all(1 / TOLERANCE <= one <= TOLERANCE for one in factor)
    if factor == (1, 1) or (wanted is None and is_near):
        return None
    if max(factor) > LARGEST_ENLARGEMENT:
        raise OptionError(
            f"pixels of {max(grid.gsd_m):.3g} m would be enlarged {max(factor):.3g} times to {target:.3g} m, "
            f"at most {LARGEST_ENLARGEMENT} times makes sense: pass `gsd_m='native'`, or take another model"
        )
    whose = "the model's " if wanted in (None, "model") else ""
    own = " × ".join(f"{one:.3g}" for one in dict.fromkeys(grid.gsd_m))
    return Zoom(
        factor=factor,
        gsd_m=target,
        note=f"the scene's pixels of {own} m are scaled to {whose}{target:.3g} m (`gsd_m='native'` leaves them)",
    )


def _target(contract: Contract, wanted: str | float | None) -> float | None:
    """Give the distance to scale to, in metres; None where the model's is not known and nobody asked for it."""
    if wanted is None or wanted == "model":
        if wanted == "model" and contract.gsd_m is None:
            raise OptionError(f"model '{contract.name}' does not say its ground sample distance: give metres instead")
        return contract.gsd_m
    try:
        metres = float(wanted)
    except ValueError:
        metres = -1.0
    if not 0 < metres < float("inf"):
        raise OptionError(f"`gsd_m=` is native, model or a distance in metres above 0, not {wanted!r}: try 0.5")
    return metres


class Magnifier:
    """From the model's grid back to the scene's: each pixel of the scene takes what lies at its centre."""

    def __init__(self, shape: tuple[int, int], factor: tuple[float, float]) -> None:
        """Take the scene's shape and the scale."""
        self._rows, self._cols = (
            _ScaledAxis(length=length, factor=one) for length, one in zip(shape, factor, strict=True)
        )

    def scaled_shard(self, shard: Shard) -> Shard:
        """Give the block of the model's grid that a block of the scene needs."""
        rows, cols = self._rows.span(shard.row_start, shard.row_stop), self._cols.span(shard.col_start, shard.col_stop)
        return Shard(row_start=rows[0], row_stop=rows[1], col_start=cols[0], col_stop=cols[1])

    def scene_shard(self, shard: Shard) -> Shard:
        """Give the block of the scene that takes its pixels from a block of the model's grid."""
        return Shard(
            row_start=self._rows.first(shard.row_start),
            row_stop=self._rows.first(shard.row_stop),
            col_start=self._cols.first(shard.col_start),
            col_stop=self._cols.first(shard.col_stop),
        )

    def scaled_wanted(self, wanted: Wanted) -> Wanted:
        """Give where labels are wanted on the model's grid: where any pixel of the scene takes one from."""

        def on_model_grid(window: Window) -> NDArray[np.bool_]:
            rows, first_row = self._rows.within(window.row_off, window.row_off + window.height)
            cols, first_col = self._cols.within(window.col_off, window.col_off + window.width)
            out = np.zeros((window.height, window.width), bool)
            if len(rows) and len(cols):
                mask = wanted(Window(first_col, first_row, len(cols), len(rows)))
                at = (rows - window.row_off)[:, None], (cols - window.col_off)[None, :]
                np.logical_or.at(out, at, mask)
            return out

        return on_model_grid

    def to_scene(self, rows: Iterable[FinishedRows], shard: Shard) -> Iterator[FinishedRows]:
        """Give the shard's rows of the scene from finished rows of `scaled_shard(shard)`."""
        cols = self._cols.indices(shard.col_start, shard.col_stop)
        row = shard.row_start
        for finished in rows:
            count = finished.labels.shape[0]
            stop = min(self._rows.first(finished.row_start + count), shard.row_stop)
            if stop <= row:
                continue
            at = self._rows.indices(row, stop) - finished.row_start
            layers = {name: pixels[..., at, :][..., cols - cols[0]] for name, pixels in finished.layers.items()}
            yield FinishedRows(row_start=row, layers=layers)
            row = stop


@dataclass(frozen=True, kw_only=True)
class _ScaledAxis:
    """Rows (or columns) of a scene and those of the model's grid that their centres lie in; nothing is tabulated."""

    length: int
    """Rows of the scene."""
    factor: float
    """Rows of the model's grid per row of the scene."""

    def indices(self, start: int, stop: int) -> NDArray[np.intp]:
        """Give the model's row for each of the scene's rows from `start` to `stop`."""
        return scaled_indices(start, stop, self.factor)

    def first(self, index: int) -> int:
        """Give the first of the scene's rows in a row of the model's grid or beyond."""
        return first_at(int(index), self.length, self.factor)

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Give the model's rows (start, stop) that some of the scene's lie in."""
        first, last = (int(self.indices(one, one + 1)[0]) for one in (start, stop - 1))
        return first, last + 1

    def within(self, start: int, stop: int) -> tuple[NDArray[np.intp], int]:
        """Give the model's row for each of the scene's that lie in rows from `start` to `stop`, and the first."""
        first, last = self.first(start), self.first(stop)
        return self.indices(first, last), first
