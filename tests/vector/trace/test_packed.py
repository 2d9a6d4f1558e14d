"""Parts of a raster that others have traced: they travel as they are, and give the same polygons to the bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.vector import (
    Generalisation,
    LabelRows,
    LineRule,
    Metric,
    PackedBlock,
    Part,
    PolygonBatch,
    Ruler,
    StripRow,
    iter_strip_rows,
    iter_strips,
    strip_edges,
    trace_part,
    trace_polygons,
    tracer,
)
from geodeeplab.vector.trace import packed as packed_module
from geodeeplab.vector.trace.arcs import CornerBits
from geodeeplab.vector.trace.blocks import NO_CONFIDENCE, TracedBlock, trace_block
from geodeeplab.vector.trace.joiner import ArcJoiner
from geodeeplab.vector.trace.packed import pack_block, unpack_block
from geodeeplab.vector.trace.strips import Strip
from tests.vector.test_tracer import strips_of
from tests.vector.trace.test_joiner import stops_of

rasters = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))
cuts = st.lists(st.integers(1, 12), max_size=3)
RULER = Ruler(CRS.from_epsg(3035), (4_321_000, 3_209_000, 4_322_000, 3_210_000))
TRANSFORM = Affine(10.1, 0.3, 4_321_000, 0.2, -10, 3_210_000)
SIMPLER = LineRule(generalisation=Generalisation(tolerance=1.5, smooth=True), metric=Metric.pixels())


def assert_same(one: Any, other: Any) -> None:  # noqa: ANN401
    """Compare dataclasses of arrays, types included."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        elif hasattr(a, "__dataclass_fields__"):
            assert_same(a, b)
        else:
            assert a == b


@given(raster=rasters, eight=st.booleans(), confident=st.booleans(), row=st.integers(-1, 5), col=st.integers(-1, 5))
def test_a_block_comes_back(raster: NDArray[np.uint8], eight: bool, confident: bool, row: int, col: int) -> None:
    confidence = raster * 30 if confident else NO_CONFIDENCE
    block = trace_block(raster.astype(np.int32), first_row=row, first_col=col, eight=eight, confidence=confidence)
    packed = pack_block(block, (50, 50))
    assert_same(unpack_block(packed), block)
    assert packed.part.rows == (max(row, 0), row + raster.shape[0])


def bands_of(
    raster: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    row_cuts: list[int],
    col_cuts: list[int],
    traced: st.DataObject,
    connectivity: int,
) -> list[StripRow]:
    """Cut a raster into shards; trace some of them by themselves, and give the strips as the tracer takes them."""
    height, width = raster.shape
    rows, cols = stops_of(row_cuts, height), stops_of(col_cuts, width)
    done: dict[Part, PackedBlock] = {}
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            if traced.draw(st.booleans()):
                part = Part(rows=(top, bottom), cols=(left, right))
                inside = np.s_[top:bottom, left:right]
                band = [LabelRows(labels=raster[inside], confidence=confidence[inside])]
                packs = trace_part(band, shape=(height, width), part=part, connectivity=connectivity)
                done |= {pack.part: pack for pack in packs}
    found: list[StripRow] = []
    for top, bottom in pairwise(sorted({*strip_edges(0, height, width), *rows})):
        strips: list[Any] = []
        for left, right in pairwise(cols):
            part, inside = Part(rows=(top, bottom), cols=(left, right)), np.s_[top:bottom, left:right]
            rows_of = [LabelRows(labels=raster[inside], confidence=confidence[inside])]
            read = list(iter_strips(rows_of, shape=(height, width), nodata=0, part=part))
            assert len(read) == 1
            strips.append(done.pop(part, read[0]))
        found.append(strips)
    assert not done
    return found


@given(
    raster=rasters,
    row_cuts=cuts,
    col_cuts=cuts,
    size=st.integers(1, 60),
    connectivity=st.sampled_from([4, 8]),
    lines=st.sampled_from([None, SIMPLER]),
    data=st.data(),
)
def test_who_traced_what_does_not_show_in_a_bit(
    raster: NDArray[np.uint8],
    row_cuts: list[int],
    col_cuts: list[int],
    size: int,
    connectivity: Literal[4, 8],
    lines: LineRule | None,
    data: st.DataObject,
) -> None:
    confidence = data.draw(hnp.arrays(np.uint8, raster.shape, elements=st.sampled_from([0, 30, 99, 255])))
    shape = (raster.shape[0], raster.shape[1])

    def trace(bands: Any) -> list[PolygonBatch]:  # noqa: ANN401
        batches = trace_polygons(
            bands,
            shape=shape,
            transform=TRANSFORM,
            ruler=RULER,
            connectivity=connectivity,
            lines=lines,
            with_confidence=True,
            threads=2,
        )
        return list(batches)

    with strips_of(size):
        packed_module.BYTES_A_PIXEL = 1000
        try:
            bands = bands_of(raster, confidence, row_cuts, col_cuts, data, connectivity)
        finally:
            packed_module.BYTES_A_PIXEL = 1
        whole = trace(iter_strip_rows([LabelRows(labels=raster, confidence=confidence)], shape=shape))
        parts = trace(bands)
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        assert_same(one, other)


def test_what_takes_more_bytes_than_its_labels_is_not_sent() -> None:
    noise = np.random.default_rng(0).integers(1, 8, (64, 64), dtype=np.uint8)
    part = Part(rows=(0, 64), cols=(0, 64))
    assert not list(trace_part([LabelRows(labels=noise)], shape=(64, 64), part=part, connectivity=4))
    flat = np.ones((64, 64), np.uint8)
    (packed,) = trace_part([LabelRows(labels=flat)], shape=(64, 64), part=part, connectivity=4)
    assert packed.part == part
    assert len(packed.data) < 100


def test_threads_set_no_bits_of_one_word_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would lose some: a word is of 64 columns, and parts may be cut between them."""
    raster = np.random.default_rng(0).integers(0, 3, (50, 64), np.uint8)
    setting: list[bool] = []

    def trace(*args: Any, **options: Any) -> TracedBlock:  # noqa: ANN401
        setting.append(options["words"] is not None)
        return trace_block(*args, **options)

    monkeypatch.setattr(tracer, "trace_block", trace)
    found = []
    for cols in ([0, 64], [0, 32, 64]):
        bits = CornerBits(words=np.zeros((53, 2), np.uint64), first_row=-1)
        joiner = ArcJoiner(66, bits=bits)
        strips: list[Strip | PackedBlock] = []
        for first, stop in pairwise(cols):
            part, rows = Part(rows=(0, 50), cols=(first, stop)), [LabelRows(labels=raster[:, first:stop])]
            strips += iter_strips(rows, shape=(50, 64), nodata=0, part=part)
        with ThreadPoolExecutor(2) as pool:
            for blocks in tracer.trace_ahead([strips], pool, 2, nodata=0, eight=False, bits=bits):
                joiner.add_band(blocks)
        found.append(bits.words)
    np.testing.assert_array_equal(found[1], found[0])
    assert found[0].any()
    assert setting == [True, False, False]
