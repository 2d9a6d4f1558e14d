"""The parts of a mosaic, and whether they fit together."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.bands import Band, describe_bands
from geodeeplab.raster.crs import crs_name, same_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.source import Source

GRID_TOLERANCE = 0.01  # pixels that the grids of the parts may be off by, at any of their corners


@dataclass(frozen=True, kw_only=True)
class Member:
    """One raster of a mosaic: what is known of it while it is closed, and how it is opened."""

    path: str
    """How messages name it."""
    grid: Grid
    """Its pixels on the ground."""
    bands: tuple[Band, ...]
    """All its bands."""
    block_shape: tuple[int, int]
    """(height, width) of its blocks, the largest of all bands."""
    least_rows: int
    """See `Source.least_rows`."""
    tags: dict[str, str]
    """Metadata."""
    files: tuple[str, ...]
    """Every file or URL that it reads."""
    open: Callable[[], Source]
    """Opens it, or gives what is open."""
    stays_open: bool
    """True where it is closed with the mosaic only."""


def member_of(source: Source) -> Member:
    """Make a part of an open source, which stays open until the mosaic is closed."""
    return _describe(source, lambda: source, stays_open=True)


def lazy_member(opener: Callable[[], Source]) -> Member:
    """Make a part that is opened to look at it, closed, and opened again whenever it is read."""
    source = opener()
    try:
        return _describe(source, opener, stays_open=False)
    finally:
        source.close()


def check_members(parts: Sequence[Member]) -> None:
    """Refuse no parts at all, and several of which one has no place.

    Raises:
        OptionError: there are none.
        SceneError: one has no transform.
    """
    if not parts:
        raise OptionError("a mosaic has at least one part, got none: give the files")
    for part in parts:
        if len(parts) > 1 and part.grid.transform.is_identity:
            raise SceneError(
                f"scene '{part.path}' has no transform, so it has no place in a mosaic; "
                f"if you know its bounds: gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM {shlex.quote(part.path)}"
            )


def check_crs(first: Member, part: Member) -> None:
    """Refuse a part in another CRS than the first.

    Raises:
        SceneError: it is.
    """
    if not same_crs(part.grid.crs, first.grid.crs):
        raise SceneError(
            f"the parts of a mosaic have one CRS, but '{first.path}' has {crs_name(first.grid.crs)} and '{part.path}' "
            f"has {crs_name(part.grid.crs)}: warp them onto one grid with `grid_crs=`, e.g. that of the first"
        )


def check_grid(first: Member, part: Member) -> None:
    """Refuse a part whose pixels do not coincide with those of the first, were that continued.

    Raises:
        SceneError: they do not, or it is in another CRS.
    """
    check_crs(first, part)
    difference = grid_difference(first, part)
    if difference is not None:
        raise SceneError(
            f"the pixels of a mosaic's parts lie on one grid, but those of '{part.path}' {difference} those of "
            f"'{first.path}': warp them onto one with `grid_crs='{crs_name(first.grid.crs)}'` or `gsd_m=METRES`"
        )


def grid_difference(first: Member, part: Member) -> str | None:
    """Say how the grids of two parts in one CRS differ; None if their pixels coincide or their CRSs differ."""
    inner = ~first.grid.transform @ part.grid.transform  # pixels of the part in pixels of the first
    row, col = offset_in(first.grid, part.grid)
    height, width = part.grid.shape
    corners = [(x, y, inner @ (x, y)) for x in (0, width) for y in (0, height)]
    if all(max(abs(px - x - col), abs(py - y - row)) <= GRID_TOLERANCE for x, y, (px, py) in corners):
        return None
    if inner.a <= 0 or inner.e <= 0 or abs(inner.b) * height > GRID_TOLERANCE or abs(inner.d) * width > GRID_TOLERANCE:
        return "are turned or mirrored against"
    if abs(inner.a - 1) * width > GRID_TOLERANCE or abs(inner.e - 1) * height > GRID_TOLERANCE:
        (x_own, y_own), (x_first, y_first) = part.grid.res, first.grid.res
        return f"have the size {x_own:.9g} x {y_own:.9g} instead of {x_first:.9g} x {y_first:.9g} of"
    return f"are shifted by {inner.c - col:.3g} columns and {inner.f - row:.3g} rows against"


def offset_in(first: Grid, grid: Grid) -> tuple[int, int]:
    """Give the row and column of the first grid that are nearest to the corner of another."""
    col, row = ~first.transform @ (grid.transform.c, grid.transform.f)
    return round(row), round(col)


def check_bands(first: Member, part: Member) -> None:
    """Refuse a part that has other bands than the first: number, names, sort of type, which one is alpha.

    Raises:
        SceneError: it has.
    """

    def sort(band: Band) -> tuple[str, str, bool]:
        return band.name.casefold(), _sort_of_type(band.dtype), band.is_alpha

    if [sort(band) for band in part.bands] != [sort(band) for band in first.bands]:
        raise SceneError(
            f"the parts of a mosaic have the same bands, but '{first.path}' has {_describe_bands(first.bands)} and "
            f"'{part.path}' {_describe_bands(part.bands)}: bring them into one form, e.g. with gdal_translate -b or -ot"
        )


def _describe_bands(bands: Sequence[Band]) -> str:
    types = ", ".join(dict.fromkeys(band.dtype.name for band in bands))
    return f"{describe_bands(bands)} ({types})"


def _sort_of_type(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return "floating-point numbers"
    return "8-bit integers" if dtype.itemsize == 1 else "wider integers"


def _describe(source: Source, opener: Callable[[], Source], *, stays_open: bool) -> Member:
    return Member(
        path=source.path,
        grid=source.grid,
        bands=source.bands,
        block_shape=source.block_shape([band.number for band in source.bands]),
        least_rows=source.least_rows,
        tags=source.tags,
        files=source.files,
        open=opener,
        stays_open=stays_open,
    )
