"""Scenes scaled to the model's ground sample distance, labels back on the scene's own grid."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

import geodeeplab as gdl
from geodeeplab.inference import FinishedRows
from geodeeplab.models import Contract, Model
from geodeeplab.pipeline.gsd import Magnifier, choose_zoom
from geodeeplab.raster import Grid, ScaledSource, Scene, open_scene, scaled_indices
from geodeeplab.tiling import Shard
from tests.examples import few

MakeRaster = Callable[..., Path]
Blocks = Callable[..., NDArray[np.uint8]]
UTM = CRS.from_epsg(32633)


def grid_of(res: float, crs: CRS | None = UTM) -> Grid:
    return Grid(shape=(10, 20), transform=Affine(res, 0, 500_000, 0, -res, 5_000_000), crs=crs)


@pytest.fixture
def contract(tiny: Model) -> Contract:
    return dataclasses.replace(tiny.contract, gsd_m=1.0)


def test_by_default_the_models_where_it_differs_by_more_than_a_quarter(contract: Contract) -> None:
    assert choose_zoom(grid_of(1.25), contract, None) is None
    assert choose_zoom(grid_of(0.8), contract, None) is None
    finer = choose_zoom(grid_of(0.5), contract, None)
    assert finer is not None
    assert finer.factor == (0.5, 0.5)
    assert "0.5 m are scaled to the model's 1 m" in finer.note
    coarser = choose_zoom(grid_of(2.0), contract, None)
    assert coarser is not None
    assert coarser.factor == (2.0, 2.0)


def test_what_is_not_known_is_not_guessed(contract: Contract, tiny: Model) -> None:
    unknown = dataclasses.replace(contract, gsd_m=None)
    assert choose_zoom(grid_of(0.1), unknown, None) is None
    assert choose_zoom(grid_of(0.1, crs=None), contract, None) is None
    with pytest.raises(gdl.OptionError, match="does not say its ground sample distance"):
        choose_zoom(grid_of(0.1), unknown, "model")
    with pytest.raises(gdl.OptionError, match="no known size in metres"):
        choose_zoom(grid_of(0.1, crs=None), contract, 0.5)


def test_as_asked_for(contract: Contract) -> None:
    assert choose_zoom(grid_of(0.1), contract, "native") is None
    for wanted in ("model", 1, "1.0"):
        zoom = choose_zoom(grid_of(0.9), contract, wanted)
        assert zoom is not None
        assert zoom.factor == (0.9, 0.9)
    assert choose_zoom(grid_of(1.0), contract, "model") is None
    for wanted in ("0", "-1", "fine", "nan", "inf"):
        with pytest.raises(gdl.OptionError, match="native, model or a distance in metres above 0"):
            choose_zoom(grid_of(1.0), contract, wanted)
    with pytest.raises(gdl.OptionError, match="enlarged 30 times to 1 m, at most 16 times"):
        choose_zoom(grid_of(30.0), contract, "model")


factors = st.sampled_from([0.11, 0.25, 0.4, 0.77, 1.3, 2.0, 3.7])


@given(st.data(), st.integers(1, 40), st.integers(1, 40), factors, factors)
def test_every_pixel_takes_what_lies_at_its_centre(
    data: st.DataObject, height: int, width: int, down: float, right: float
) -> None:
    rows, cols = scaled_indices(0, height, down), scaled_indices(0, width, right)
    scaled = np.random.default_rng(0).integers(0, 200, (rows[-1] + 1, cols[-1] + 1), dtype=np.uint8)
    row_start = data.draw(st.integers(0, height - 1))
    col_start = data.draw(st.integers(0, width - 1))
    shard = Shard(
        row_start=row_start,
        row_stop=data.draw(st.integers(row_start + 1, height)),
        col_start=col_start,
        col_stop=data.draw(st.integers(col_start + 1, width)),
    )
    magnifier = Magnifier((height, width), (down, right))
    part = magnifier.scaled_shard(shard)
    step = data.draw(st.integers(1, 7))
    finished = [
        FinishedRows(
            row_start=row,
            layers={"labels": scaled[row : min(row + step, part.row_stop), part.col_start : part.col_stop]},
        )
        for row in range(part.row_start, part.row_stop, step)
    ]
    got = np.concatenate([one.labels for one in magnifier.to_scene(finished, shard)])
    expected = scaled[rows][:, cols][shard.row_start : shard.row_stop, shard.col_start : shard.col_stop]
    assert np.array_equal(got, expected)


@given(st.integers(1, 30), st.integers(1, 30), factors, factors, st.integers(0, 2**16))
def test_wanted_on_the_models_grid_is_where_a_wanted_pixel_takes_its_label(
    height: int, width: int, down: float, right: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.3

    def wanted(window: Window) -> NDArray[np.bool_]:
        part: NDArray[np.bool_] = mask[window.toslices()]
        return part

    rows, cols = scaled_indices(0, height, down), scaled_indices(0, width, right)
    expected = np.zeros((rows[-1] + 1, cols[-1] + 1), bool)
    for row, col in np.argwhere(mask):
        expected[rows[row], cols[col]] = True
    on_model_grid = Magnifier((height, width), (down, right)).scaled_wanted(wanted)
    shape = expected.shape
    assert np.array_equal(on_model_grid(Window(0, 0, shape[1], shape[0])), expected)
    window = Window(shape[1] // 3, shape[0] // 2, shape[1] - shape[1] // 3, shape[0] - shape[0] // 2)
    assert np.array_equal(on_model_grid(window), expected[window.toslices()])


@pytest.mark.parametrize(("gsd_m", "turned"), few([(2.5, True), (0.6, False), (2.5, False), (0.6, True)], 2))
def test_labels_are_those_of_the_scaled_scene_and_lie_on_the_scenes_grid(
    make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, gsd_m: float, turned: bool
) -> None:
    image = blocks(110, 150)
    image[:, 40:70, 25:103] = 0
    transform = Affine(1, 0, 500_000, 0, -1, 5_000_000)
    if turned:
        transform = transform @ Affine.rotation(30)
    path = make_raster(image, photometric="rgb", nodata=0, transform=transform)
    done = gdl.segment(path, label_raster=tmp_path / "a.tif", model=tiny, gsd_m=gsd_m, tile_size=64)
    with open_scene(path) as scene:
        factor = 1 / gsd_m, 1 / gsd_m
        source = ScaledSource(scene.source, factor)
        native = scene.read(Window(0, 0, 150, 110)).valid
        gdl.segment(
            Scene(source), label_raster=tmp_path / "b.tif", model=tiny, gsd_m="native", tile_size=64
        )  # the scene scaled beforehand
    with rasterio.open(tmp_path / "a.tif") as src, rasterio.open(tmp_path / "b.tif") as scaled:
        assert src.transform == transform
        assert src.shape == (110, 150)
        at = np.ix_(scaled_indices(0, 110, factor[0]), scaled_indices(0, 150, factor[1]))
        labels = src.read(1)
        assert np.array_equal(labels, np.where(native, scaled.read(1)[at], 0))
    assert np.array_equal(labels > 0, native), "every valid pixel has a label, and no other"
    assert done.facts["gsd_m"] == gsd_m
    assert not done.facts["notes"] or "scaled" in done.facts["notes"][0]


def test_what_nobody_asked_for_is_said(
    make_raster: MakeRaster, blocks: Blocks, tiny: Model, contract: Contract, tmp_path: Path
) -> None:
    model = dataclasses.replace(tiny, contract=dataclasses.replace(contract, gsd_m=3.0))
    path = make_raster(blocks(60, 70), photometric="rgb")
    with pytest.warns(gdl.GeoDeepLabWarning, match=r"pixels of 1 m are scaled to the model's 3 m \(`gsd_m='native'`"):
        gdl.segment(path, label_raster=tmp_path / "a.tif", model=model)
    gdl.segment(path, label_raster=tmp_path / "b.tif", model=model, gsd_m="native")
    with rasterio.open(path, "r+") as dst:
        dst.scales = (1e-4,) * 3
    with pytest.warns(gdl.GeoDeepLabWarning) as told:
        done = gdl.segment(path, label_raster=tmp_path / "c.tif", model=model)
    assert [str(one.message) for one in told] == list(done.facts["notes"])
    assert "scaled to the model's 3 m" in done.facts["notes"][0], "both changes are told"
    assert "the scene states a scale or offset" in done.facts["notes"][1]


@given(st.data(), st.integers(1, 40), factors)
def test_a_block_of_the_models_grid_is_named_by_the_pixels_that_it_labels(
    data: st.DataObject, length: int, factor: float
) -> None:
    magnifier = Magnifier((length, length), (factor, factor))
    indices = scaled_indices(0, length, factor)
    start = data.draw(st.integers(0, int(indices[-1])))
    stop = data.draw(st.integers(start + 1, int(indices[-1]) + 1))
    found = magnifier.scene_shard(Shard(row_start=start, row_stop=stop, col_start=start, col_stop=stop))
    expected = np.flatnonzero((indices >= start) & (indices < stop))
    assert list(range(found.row_start, found.row_stop)) == expected.tolist()
    assert (found.col_start, found.col_stop) == (found.row_start, found.row_stop)
