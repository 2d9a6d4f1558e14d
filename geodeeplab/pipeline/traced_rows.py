"""From the labels of a complete spool to the rows that are traced: objects told apart, what is small merged."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.atomic import make_fresh_folder
from geodeeplab.pipeline.polygons import PolygonPlan
from geodeeplab.raster import BlockSpool, SpoolLayer, encode_block, iter_rows, output_errors, read_part
from geodeeplab.vector import BoundaryRows, LabelRows, NumberedRows


class TracedRows:
    """The rows of a spool as they are traced; a context manager that lets go of its work files at the end."""

    def __init__(self, plan: PolygonPlan, spool: BlockSpool, folder: Path) -> None:
        """Do what takes all rows: tell objects apart, and merge what is below the minimum.

        Args:
            plan: how polygons are made.
            spool: labels, complete; with the layer `boundary` where objects are told apart.
            folder: where work files go.
        """
        self._plan, self._spool, self._folder, self._stack = plan, spool, folder, ExitStack()
        self._codes: NumberedRows | None = None
        with ExitStack() as stack:
            if plan.instances is not None:
                self._codes = stack.enter_context(plan.number(_iter_boundary(spool), folder=folder))
            self._sieved = None if plan.minimum is None else self._sieve()
            self._stack = stack.pop_all()

    def __enter__(self) -> "TracedRows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def labels(self) -> BlockSpool:
        """A spool with the classes that the polygons will have."""
        return self._spool if self._sieved is None else self._sieved

    def iter_with_confidence(self) -> Iterator[LabelRows]:
        """Yield the rows, labels or codes of objects, with the confidence of the labels."""
        row = 0
        for labels in self._iter_final():
            rows = (row, row + len(labels))
            confidence = read_part(self._spool, "confidence", rows=rows, cols=(0, self._spool.shape[1]))
            yield LabelRows(labels=labels, confidence=confidence)
            row += len(labels)

    def _iter_final(self) -> Iterator[NDArray[Any]]:
        if self._sieved is None:
            return self._iter_first()
        return (rows for _, rows in iter_rows(self._sieved, self._sieved.layers[-1].name))

    def _iter_first(self) -> Iterator[NDArray[Any]]:
        """Yield the rows before anything has merged."""
        return (rows for _, rows in iter_rows(self._spool)) if self._codes is None else self._codes.read()

    def _sieve(self) -> BlockSpool:
        """Make a spool of the labels in which components below the minimum have merged, and of their codes."""
        folder, codes = self._folder / "sieved", self._plan.codes
        with output_errors(folder):
            make_fresh_folder(folder)
        layers = [SpoolLayer(name="labels", dtype="uint8")]
        if codes is not None:
            layers.append(SpoolLayer(name="codes", dtype="int32"))
        sieved, row = BlockSpool(folder, self._spool.shape, layers), 0
        for rows in self._plan.sieve(self._iter_first):
            block: dict[str, NDArray[Any]] = {"labels": rows.astype(np.uint8)}
            if codes is not None:
                block = {"labels": codes.to_labels(rows).astype(np.uint8), "codes": rows}
            sieved.append(encode_block(row, 0, block, count="labels"))
            row += len(rows)
        return sieved


def _iter_boundary(spool: BlockSpool) -> Iterator[BoundaryRows]:
    """Yield the labels of a complete spool with their boundaries."""
    for row, labels in iter_rows(spool):
        boundary = read_part(spool, "boundary", rows=(row, row + len(labels)), cols=(0, spool.shape[1]))
        yield BoundaryRows(labels=labels, boundary=boundary)
