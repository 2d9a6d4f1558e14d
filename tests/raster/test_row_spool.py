import errno
import json
import os
import zlib
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OutputError
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.row_spool import RowSpool


def labels_of(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 6, shape, dtype=np.uint8)


@given(
    width=st.integers(1, 700),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32"]),
)
def test_rows_come_back_as_they_went(width: int, counts: list[int], dtype: str) -> None:
    raster = np.random.default_rng(0).integers(0, 200, (sum(counts), width)).astype(dtype)
    stops = np.cumsum([0, *counts])
    with TemporaryDirectory() as folder:
        spool = RowSpool(folder, (len(raster), width), dtype)
        for start, stop in pairwise(stops):
            assert spool.row_count == start
            spool.append(raster[start:stop])
        pieces = list(spool.iter_rows())
        assert [start for start, _ in pieces] == list(stops[:-1])
        back = np.concatenate([rows for _, rows in pieces])
        grid = Grid(shape=(len(raster), width), transform=Affine(2, 0.5, 7, -0.5, -2, 9), crs=None)
        spool.write_vrt(f"{folder}/all.vrt", grid)
        with rasterio.open(f"{folder}/all.vrt") as src:
            np.testing.assert_array_equal(src.read(1), raster)
            assert src.transform == grid.transform
            assert src.crs is None
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, raster)


def test_journal_names_each_file_once_it_is_safe(tmp_path: Path) -> None:
    spool = RowSpool(tmp_path, (5, 4), name="labels")
    labels = labels_of((5, 4))
    spool.append(labels[:3])
    spool.append(labels[3:])
    header, *lines = [json.loads(line) for line in (tmp_path / "labels.journal").read_text().splitlines()]
    assert header == {"version": 1, "shape": [5, 4], "dtype": "uint8"}
    assert [(line["file"], line["row_start"], line["row_count"]) for line in lines] == [
        ("labels-000000000.tif", 0, 3),
        ("labels-000000003.tif", 3, 2),
    ]
    for line in lines:
        content = (tmp_path / line["file"]).read_bytes()
        assert (line["bytes"], line["crc32"]) == (len(content), zlib.crc32(content))
    assert spool.byte_count == sum(line["bytes"] for line in lines)
    assert len(list(tmp_path.iterdir())) == 3


def test_files_of_one_spool_lie_in_place(tmp_path: Path) -> None:
    spool = RowSpool(tmp_path, (5, 4))
    spool.append(labels_of((3, 4)))
    spool.append(labels_of((2, 4)))
    with rasterio.open(tmp_path / spool.entries[1].file) as src:
        assert tuple(src.bounds) == (0, 0, 4, 2)


def test_vrt_carries_all_that_a_label_raster_has(tmp_path: Path) -> None:
    spool = RowSpool(tmp_path, (4, 3))
    spool.append(labels_of((4, 3)))
    grid = Grid(shape=(4, 3), transform=Affine(1, 2, 500_000, 2, -1, 4_000_000), crs=CRS.from_epsg(32633))
    tags = {"model": 'a <b> & "c"', "größe": "é"}
    spool.write_vrt(
        tmp_path / "a.vrt", grid, nodata=0, colors={0: (0, 0, 0), 2: (1, 2, 3)}, names=["nodata"], tags=tags
    )
    with rasterio.open(tmp_path / "a.vrt") as src:
        assert src.crs == grid.crs
        assert src.transform == grid.transform
        assert src.nodata == 0
        assert src.tags() == tags
        assert src.colormap(1) == {0: (0, 0, 0, 0), 1: (0, 0, 0, 255), 2: (1, 2, 3, 255)}
        assert src.colorinterp == (rasterio.enums.ColorInterp.palette,)


def test_rows_not_there_yet_are_nodata(tmp_path: Path) -> None:
    spool = RowSpool(tmp_path, (4, 3))
    spool.append(np.full((2, 3), 5, dtype=np.uint8))
    spool.write_vrt(tmp_path / "a.vrt", Grid(shape=(4, 3), transform=Affine.scale(2), crs=None), nodata=7)
    with rasterio.open(tmp_path / "a.vrt") as src:
        assert src.read(1).tolist() == [[5] * 3] * 2 + [[7] * 3] * 2


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((1, 4), np.uint8),
        np.zeros((1, 3), np.int32),
        np.zeros((5, 3), np.uint8),
        np.zeros((0, 3), np.uint8),
        np.zeros(3, np.uint8),
    ],
)
def test_refuses_rows_that_do_not_fit(tmp_path: Path, rows: NDArray[np.generic]) -> None:
    spool = RowSpool(tmp_path, (4, 3))
    with pytest.raises(ValueError, match="4 × 3 uint8 with 0 rows cannot take"):
        spool.append(rows)
    assert spool.row_count == 0


def test_refuses_a_grid_of_another_shape(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"grid has shape \(3, 4\), the spool \(4, 3\)"):
        RowSpool(tmp_path, (4, 3)).write_vrt(
            tmp_path / "a.vrt", Grid(shape=(3, 4), transform=Affine.scale(2), crs=None)
        )


def test_refuses_the_folder_of_an_earlier_run(tmp_path: Path) -> None:
    RowSpool(tmp_path, (4, 3))
    RowSpool(tmp_path, (4, 3), name="confidence")
    with pytest.raises(OutputError, match=r"labels\.journal belongs to an earlier run"):
        RowSpool(tmp_path, (4, 3))


def test_a_full_disk_is_told_and_the_journal_stays_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = RowSpool(tmp_path, (4, 3))
    spool.append(labels_of((2, 3)))
    journal = spool.journal_path.read_text()

    def fill_up(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(OutputError, match="no space left"):
        spool.append(labels_of((2, 3)))
    assert spool.row_count == 2
    assert spool.journal_path.read_text() == journal
