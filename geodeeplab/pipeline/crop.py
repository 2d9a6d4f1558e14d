"""The crop: outputs on the window of the scene's grid around the area of interest, and not on all of it."""

import math
from dataclasses import dataclass

from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster import Aoi, Grid
from geodeeplab.tiling import Shard

LARGEST_SHARE = 0.01
"""An area whose window has less than this share of the scene's pixels is cropped to, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The window that outputs are cropped to."""

    extent: Shard
    """The window, in pixels of the scene."""
    is_asked_for: bool
    """False where it is the default for an area that is so small."""

    @property
    def note(self) -> str:
        """What is done, in one line."""
        (height, width), extent = self.extent.shape, self.extent
        return (
            f"outputs are cropped to the area of interest, {width} × {height} px from column {extent.col_start}, row "
            f"{extent.row_start} of the scene's grid (`crop=False` for all of it)"
        )


def choose_crop(grid: Grid, area: Shard | None, wanted: bool | None) -> Crop | None:
    """Decide on the crop; None leaves outputs on the whole grid.

    Args:
        grid: the scene's.
        area: the smallest block around the area of interest; None without one.
        wanted: whether to crop; None where the block has less than 1 % of the grid's pixels.

    Raises:
        OptionError: a crop is wanted without an area.
    """
    if area is None:
        if wanted:
            raise OptionError("outputs are cropped to an area of interest: pass `aoi=`, too, or leave out `crop=True`")
        return None
    is_small = math.prod(area.shape) < LARGEST_SHARE * math.prod(grid.shape)
    if not (is_small if wanted is None else wanted):
        return None
    return Crop(extent=area, is_asked_for=wanted is not None)


def area_of(aoi: Aoi, grid: Grid, *, path: str) -> Shard:
    """Give the smallest block of a scene that holds all pixels within an area of interest.

    Raises:
        SceneError: there is none.
    """
    window = aoi.window(grid)
    if window is None:
        crs = "the scene's CRS" if grid.crs is None else grid.crs.to_string()
        raise SceneError(
            f"scene '{path}' has no pixel within the area of interest: in {crs[:60]} the area lies in "
            f"{_as_text(aoi.geometry.bounds)} and the scene in {_as_text(grid.bounds)}: check both"
        )
    row, col = int(window.row_off), int(window.col_off)
    return Shard(row_start=row, row_stop=row + int(window.height), col_start=col, col_stop=col + int(window.width))


def crop_grid(grid: Grid, block: Shard) -> Grid:
    """Give the grid of a block of a scene."""
    height, width = block.shape
    return grid.crop(Window(block.col_start, block.row_start, width, height))


def _as_text(bounds: tuple[float, float, float, float]) -> str:
    return f"({', '.join(f'{one:.8g}' for one in bounds)})"
