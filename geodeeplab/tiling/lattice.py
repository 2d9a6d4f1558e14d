"""The lattice of overlapping tiles over a scene, first along one axis, then along two.

The lattice is anchored at the scene's origin: it depends on the scene's shape, the tile size and the overlap, never on
who computes which part. Tiles may reach past the scene's far edges; what lies there is reflected by the reader.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from geodeeplab.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The tiles along one axis. Laws: every pixel lies in one or two tiles; the `owned` spans partition the axis."""

    length: int
    """Pixels of the scene along this axis, at least 1."""
    tile_size: int
    """Pixels of a tile."""
    overlap: int
    """Pixels that two neighbouring tiles share; at most half a tile."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if a number is out of its range.
        """
        if self.length < 1 or self.tile_size < 1:
            raise OptionError(
                f"a scene and a tile have at least one pixel a side, not {self.length} and {self.tile_size}: "
                "choose larger ones"
            )
        if not 0 <= self.overlap <= self.stride:
            raise OptionError(
                f"overlap is at least 0 and at most half the tile size ({self.tile_size // 2}), not {self.overlap}: "
                "choose one in between, or another tile size"
            )

    @property
    def stride(self) -> int:
        """Pixels from one tile to the next."""
        return self.tile_size - self.overlap

    @property
    def count(self) -> int:
        """Number of tiles: the fewest that cover the axis."""
        return max(1, -(-(self.length - self.overlap) // self.stride))

    def start(self, index: int) -> int:
        """Give the first pixel of a tile; it ends `tile_size` later, past the scene's end perhaps."""
        return index * self.stride

    def owned(self, index: int) -> tuple[int, int]:
        """Give the span (start, stop) that is final once tiles up to `index` are in; the last tile's ends the axis."""
        stop = self.length if index == self.count - 1 else self.start(index) + self.stride
        return self.start(index), stop

    def span(self, indices: range) -> int:
        """Give the pixels from the first to the last of tiles side by side, past the scene's end perhaps."""
        return (len(indices) - 1) * self.stride + self.tile_size

    def touching(self, start: int, stop: int) -> range:
        """Give the indices of the tiles that touch the pixels from `start` to `stop`."""
        first = max(0, (start - self.tile_size) // self.stride + 1)
        last = min(self.count - 1, (stop - 1) // self.stride)
        return range(first, last + 1)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One cell of the lattice."""

    row: int
    """Index of the tile row."""
    col: int
    """Index of the tile column."""
    row_start: int
    """First pixel row in the scene."""
    col_start: int
    """First pixel column in the scene."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A block of output, in pixels of the scene. Its pixels depend only on the tiles that touch it."""

    row_start: int
    """First pixel row."""
    row_stop: int
    """Pixel row after the last."""
    col_start: int
    """First pixel column."""
    col_stop: int
    """Pixel column after the last."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.row_stop - self.row_start, self.col_stop - self.col_start

    def shifted(self, rows: int, cols: int) -> "Shard":
        """Give the block that lies so many pixels further down and to the right."""
        return Shard(
            row_start=self.row_start + rows,
            row_stop=self.row_stop + rows,
            col_start=self.col_start + cols,
            col_stop=self.col_stop + cols,
        )


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Square tiles over a scene."""

    shape: tuple[int, int]
    """(height, width) of the scene."""
    tile_size: int
    """Pixels of a tile along each axis."""
    overlap: int
    """Pixels that neighbouring tiles share."""

    def __post_init__(self) -> None:
        """Check the numbers; raises `OptionError` as `Axis` does."""
        self.rows, self.cols  # noqa: B018  (building the axes checks them)

    @property
    def rows(self) -> Axis:
        """The axis of the tile rows."""
        return Axis(length=self.shape[0], tile_size=self.tile_size, overlap=self.overlap)

    @property
    def cols(self) -> Axis:
        """The axis of the tile columns."""
        return Axis(length=self.shape[1], tile_size=self.tile_size, overlap=self.overlap)

    @property
    def whole(self) -> Shard:
        """The whole scene as one shard."""
        return Shard(row_start=0, row_stop=self.shape[0], col_start=0, col_stop=self.shape[1])

    def tile(self, row: int, col: int) -> Tile:
        """Give the tile at an index of the lattice."""
        return Tile(row=row, col=col, row_start=self.rows.start(row), col_start=self.cols.start(col))

    def covered(self, tile: Tile) -> Shard:
        """Give what a tile covers of the scene."""
        return Shard(
            row_start=tile.row_start,
            row_stop=min(tile.row_start + self.tile_size, self.shape[0]),
            col_start=tile.col_start,
            col_stop=min(tile.col_start + self.tile_size, self.shape[1]),
        )

    def touching(self, shard: Shard) -> tuple[range, range]:
        """Give the tile rows and tile columns that touch a shard."""
        return (
            self.rows.touching(shard.row_start, shard.row_stop),
            self.cols.touching(shard.col_start, shard.col_stop),
        )

    def iter_shards(self, height: int, width: int) -> Iterator[Shard]:
        """Cut the scene into shards of at most (height, width) pixels, row by row; they partition it.

        Raises:
            OptionError: if a side is below one pixel.
        """
        if height < 1 or width < 1:
            raise OptionError(f"a shard has at least one pixel a side, not {height} x {width}")
        for row in range(0, self.shape[0], height):
            for col in range(0, self.shape[1], width):
                yield Shard(
                    row_start=row,
                    row_stop=min(row + height, self.shape[0]),
                    col_start=col,
                    col_stop=min(col + width, self.shape[1]),
                )
