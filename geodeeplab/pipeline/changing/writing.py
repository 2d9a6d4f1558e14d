"""What changed, written: polygons from class to class, and a label raster of the kinds of change."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.atomic import make_fresh_folder
from geodeeplab.pipeline.changing.kinds import NOTHING, UNCHANGED, Kinds
from geodeeplab.pipeline.changing.map_pair import MapPair
from geodeeplab.pipeline.changing.transitions import Band
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.polygons import PolygonPlan, plan_polygons
from geodeeplab.raster import (
    BlockSpool,
    Grid,
    LabelClass,
    SpoolLayer,
    classes_tag,
    encode_block,
    output_errors,
    write_label_cog,
)
from geodeeplab.vector import LabelRows


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangeWriter:
    """Writes what changed between two maps; nothing of them stays in memory."""

    pair: MapPair
    """Both maps."""
    kinds: Kinds
    """The kinds of change."""
    plan: PolygonPlan
    """How polygons are made: small changes merge into what is around them, then all that is unchanged goes."""
    sieve_labels: bool
    """Whether the raster has the minimum area, too."""

    def write(
        self,
        polygons: Path,
        label_raster: Path | None,
        sure: Iterator[NDArray[np.uint8]] | None,
        tags: Mapping[str, str],
    ) -> int:
        """Write both; give the number of polygons.

        Args:
            polygons: where they go.
            label_raster: where the raster goes, if it is wanted; its folder also holds what is not finished.
            sure: bands of the confidence of all rows, if there is one.
            tags: metadata of both.
        """
        raster = None if label_raster is None else _RasterRows(label_raster, self.pair.grid)
        both = zip(self._iter_rows(raster), repeat(None) if sure is None else sure, strict=False)
        count = self.plan.write(
            polygons,
            (LabelRows(labels=one, confidence=other) for one, other in both),
            with_confidence=sure is not None,
            class_columns={
                "from_class": {number: before for number, (before, _) in self.kinds.ends.items()},
                "to_class": {number: after for number, (_, after) in self.kinds.ends.items()},
            },
            metadata={**tags, **classes_tag(self.kinds.changes)},
            overwrite=True,
        )
        if raster is not None:
            raster.finish(self.kinds.classes, tags)
        return count

    def _iter_rows(self, raster: "_RasterRows | None") -> Iterator[NDArray[np.int32]]:
        """Yield the rows that are traced (n, W), and let the raster have its own on the way."""
        for traced, band in self._iter_sieved(with_bands=raster is not None):
            if raster is not None and band is not None:
                is_sieved = self.sieve_labels and self.plan.minimum is not None
                raster.append(self.kinds.parted(traced, band) if is_sieved else self.kinds.of(band))
            yield np.where(traced == UNCHANGED, np.int32(NOTHING), traced)

    def _iter_sieved(self, *, with_bands: bool) -> Iterator[tuple[NDArray[np.int32], Band | None]]:
        """Yield ids (n, W) in which unchanged ground is one class and small areas have merged; and their bands."""

        def read() -> Iterator[NDArray[np.int32]]:
            return (self.kinds.merged(self.kinds.of(band)) for band in self.pair.bands())

        if self.plan.minimum is None:
            yield from ((self.kinds.merged(self.kinds.of(band)), band) for band in self.pair.bands())
        elif with_bands:
            yield from zip(self.plan.sieve(read), self.pair.bands(), strict=True)
        else:
            yield from zip(self.plan.sieve(read), repeat(None), strict=False)


def readings_to_write(options: PolygonOptions, *, with_raster: bool) -> int:
    """Give how often `ChangeWriter` reads all rows."""
    return (3 if with_raster else 2) if options.is_sieved else 1


def plan_changes(options: PolygonOptions, *, grid: Grid, kinds: Kinds, dst_path: Path) -> PolygonPlan:
    """Plan the polygons of the changes that occur; see `plan_polygons`. Unchanged ground may have a minimum area."""
    unchanged = LabelClass(id=UNCHANGED, name="unchanged", color=(128, 128, 128))
    plan = plan_polygons(options, grid=grid, classes=[*kinds.changes, unchanged], nodata=NOTHING, dst_path=dst_path)
    return replace(plan, classes=kinds.changes)  # it has no polygons


def change_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """Give the metadata of what is written."""
    return {"GEODEEPLAB_CHANGE": json.dumps(dict(facts))}


class _RasterRows:
    """Takes the rows of a label raster from the top, and writes it when all are there."""

    def __init__(self, path: Path, grid: Grid) -> None:
        folder = path.parent / "rows"
        with output_errors(path):
            make_fresh_folder(folder)
        self._path, self._grid, self._row = path, grid, 0
        self._spool = BlockSpool(folder, grid.shape, [SpoolLayer(name="labels", dtype="uint8")])

    def append(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows (n, W)."""
        self._spool.append(encode_block(self._row, 0, {"labels": rows}, count="labels"))
        self._row += len(rows)

    def finish(self, classes: tuple[LabelClass, ...], tags: Mapping[str, str]) -> None:
        """Write the raster."""
        write_label_cog(
            self._spool, self._path, grid=self._grid, classes=classes, tags={**tags, **classes_tag(classes)}
        )
