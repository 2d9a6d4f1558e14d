"""Geometries that GEOS refuses."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geodeeplab.raster.polygons.wkb import NOT_CLOSED, UNREADABLE, read_wkb

SQUARE = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]


def polygon(*rings: Sequence[tuple[float, ...]], kind: int = 3, order: str = "<") -> bytes:
    """Write a polygon, its rings as they are."""
    head = struct.pack(f"{order}BII", order == "<", kind, len(rings))
    return head + b"".join(
        struct.pack(f"{order}I", len(ring)) + b"".join(struct.pack(f"{order}{len(point)}d", *point) for point in ring)
        for ring in rings
    )


def collection(*parts: bytes, kind: int = 7) -> bytes:
    return struct.pack("<BII", 1, kind, len(parts)) + b"".join(parts)


def read(*wkb: bytes | None) -> tuple[Any, list[str]]:
    array = np.empty(len(wkb), dtype=object)
    array[:] = wkb
    geometries, notes = read_wkb(array)
    return geometries, notes.tolist()


@pytest.mark.parametrize("order", ["<", ">"])
def test_open_rings_are_closed(order: str) -> None:
    (found, whole), notes = read(polygon(SQUARE, order=order), polygon([*SQUARE, SQUARE[0]], order=order))
    assert found.equals(whole)
    assert notes == [NOT_CLOSED, ""]


def test_rings_that_are_too_short_go() -> None:
    hole = [(1.0, 1.0)]
    (found, alone), notes = read(polygon([*SQUARE, SQUARE[0]], hole), polygon(hole))
    assert found.area == 16
    assert alone.is_empty
    assert notes == [NOT_CLOSED, NOT_CLOSED]


@pytest.mark.parametrize(
    ("kind", "more"),
    [(1003, 1), (2003, 1), (3003, 2), (3 | 0x80000000, 1), (3 | 0x40000000, 1), (3 | 0xC0000000, 2)],
)
def test_other_dimensions_are_left_out(kind: int, more: int) -> None:
    (found,), _ = read(polygon([(*point, *[9.0] * more) for point in SQUARE], kind=kind))
    assert found.area == 16
    assert not found.has_z


def test_collections_and_surfaces() -> None:
    triangle = polygon([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)], kind=17)
    point = struct.pack("<BI2d", 1, 1, 5.0, 5.0)
    line = struct.pack("<BII4d", 1, 2, 2, 0.0, 0.0, 1.0, 1.0)
    nested = collection(point, line, collection(polygon(SQUARE), kind=6))
    found, notes = read(nested, collection(triangle, kind=16), collection(polygon(SQUARE), kind=15))
    assert [one.area for one in found] == [16, 0.5, 16]
    assert notes == [NOT_CLOSED] * 3


@pytest.mark.parametrize(
    "wkb",
    [
        b"",
        b"\x01",
        polygon(SQUARE)[:-3],
        polygon(SQUARE, kind=99),
        struct.pack("<BII", 1, 3, 2**31),
        polygon([(math.nan, 0.0), *SQUARE]),
        collection(polygon(SQUARE), polygon([(0.0, math.nan), *SQUARE])),
    ],
)
def test_what_cannot_be_read_is_none(wkb: bytes) -> None:
    (found, none), notes = read(wkb, None)
    assert found is None
    assert none is None
    assert notes == [UNREADABLE, ""]


@settings(max_examples=200)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=9))
def test_damage_raises_nothing(at: int, noise: bytes) -> None:
    whole = collection(polygon(SQUARE), collection(polygon([*SQUARE, SQUARE[0]]), kind=6))
    (found,), _ = read(whole[:at] + noise + whole[at + len(noise) :])
    assert found is None or isinstance(found, shapely.Geometry)
