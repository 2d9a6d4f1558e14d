"""The ground sample distance at which the model sees the scene: a pure scale of the scene's own grid."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.inference import FinishedRows, Wanted
from geodeeplab.models import Contract
from geodeeplab.raster import Grid, scaled_indices
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


def choose_zoom(grid: Grid, contract: Contract, wanted: str | float | None) -> Zoom | None:
    """Decide on the scale; None leaves the scene as it is.

    Args:
        grid: the scene's.
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
        self._rows, self._cols = (scaled_indices(length, one) for length, one in zip(shape, factor, strict=True))

    def scaled_shard(self, shard: Shard) -> Shard:
        """Give the block of the model's grid that a block of the scene needs."""
        return Shard(
            row_start=int(self._rows[shard.row_start]),
            row_stop=int(self._rows[shard.row_stop - 1]) + 1,
            col_start=int(self._cols[shard.col_start]),
            col_stop=int(self._cols[shard.col_stop - 1]) + 1,
        )

    def scene_shard(self, shard: Shard) -> Shard:
        """Give the block of the scene that takes its pixels from a block of the model's grid."""
        rows = np.searchsorted(self._rows, [shard.row_start, shard.row_stop]).tolist()
        cols = np.searchsorted(self._cols, [shard.col_start, shard.col_stop]).tolist()
        return Shard(row_start=rows[0], row_stop=rows[1], col_start=cols[0], col_stop=cols[1])

    def scaled_wanted(self, wanted: Wanted) -> Wanted:
        """Give where labels are wanted on the model's grid: where any pixel of the scene takes one from."""

        def on_model_grid(window: Window) -> NDArray[np.bool_]:
            rows, first_row = _span(self._rows, window.row_off, window.row_off + window.height)
            cols, first_col = _span(self._cols, window.col_off, window.col_off + window.width)
            out = np.zeros((window.height, window.width), bool)
            if len(rows) and len(cols):
                mask = wanted(Window(first_col, first_row, len(cols), len(rows)))
                at = (rows - window.row_off)[:, None], (cols - window.col_off)[None, :]
                np.logical_or.at(out, at, mask)
            return out

        return on_model_grid

    def to_scene(self, rows: Iterable[FinishedRows], shard: Shard) -> Iterator[FinishedRows]:
        """Give the shard's rows of the scene from finished rows of `scaled_shard(shard)`."""
        cols = self._cols[shard.col_start : shard.col_stop]
        row = shard.row_start
        for finished in rows:
            count = finished.labels.shape[0]
            stop = int(np.searchsorted(self._rows, finished.row_start + count))
            stop = min(stop, shard.row_stop)
            if stop <= row:
                continue
            at = self._rows[row:stop] - finished.row_start
            layers = {name: pixels[..., at, :][..., cols - cols[0]] for name, pixels in finished.layers.items()}
            yield FinishedRows(row_start=row, layers=layers)
            row = stop


def _span(indices: NDArray[np.intp], start: int, stop: int) -> tuple[NDArray[np.intp], int]:
    """Give those of sorted indices that lie within start ... stop - 1, and the position of the first."""
    first, last = np.searchsorted(indices, [start, stop])
    return indices[first:last], int(first)
