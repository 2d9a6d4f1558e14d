"""Outputs on the window around an area of interest: the same labels as on the whole grid, at the area's price."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

import geodeeplab as gdl
from geodeeplab.models import Model
from geodeeplab.pipeline.crop import LARGEST_SHARE, choose_crop
from geodeeplab.pipeline.executor import InThisProcess
from geodeeplab.pipeline.info.preflight import preflight_request
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import Grid
from geodeeplab.tiling import Shard
from tests.examples import few
from tests.pipeline.mosaics import write_mosaic

MakeRaster = Callable[..., Path]
Blocks = Callable[..., NDArray[np.uint8]]
RASTERS = ("label_raster", "confidence", "probabilities")
TILE: dict[str, Any] = {"tile_size": 64, "overlap": 16}
LEFT, TOP = 500_000, 5_000_000
AREA = shapely.MultiPolygon(
    [
        shapely.Polygon([(LEFT + 31.2, TOP - 35.3), (LEFT + 80.7, TOP - 22), (LEFT + 75, TOP - 85.5)]),
        shapely.box(LEFT + 80, TOP - 90, LEFT + 93.5, TOP - 75),
    ]
)
"""Two parts, on no pixel's edge."""
WINDOW = Window(31, 22, 63, 68)
"""The smallest window that holds its pixels."""


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as src:
        pixels: NDArray[Any] = src.read()
    return pixels


def outputs_in(folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return {name: folder / f"{name}.tif" for name in RASTERS} | {"polygons": folder / "polygons.gpkg"}


def check_cropped(cropped: dict[str, Any], whole: dict[str, Any], window: Window = WINDOW) -> None:
    """Check rasters to the bit, and polygons to what is lost where coordinates are rounded."""
    for name in RASTERS:
        with rasterio.open(whole[name]) as src, rasterio.open(cropped[name]) as dst:
            assert dst.shape == (window.height, window.width)
            assert dst.transform == src.transform @ Affine.translation(window.col_off, window.row_off)
            assert dst.crs == src.crs
            assert np.array_equal(dst.read(), src.read(window=window)), name
    one, other = (gpd.read_file(paths["polygons"], layer="landcover") for paths in (whole, cropped))
    columns = [name for name in one.columns if name not in ("geometry", "fid")]
    assert len(one) == len(other) > 2
    assert shapely.equals_exact(one.geometry.values, other.geometry.values, tolerance=1e-6).all()
    for name in columns:
        if one[name].dtype.kind == "f":
            np.testing.assert_allclose(other[name], one[name], rtol=1e-6, err_msg=name)
        else:
            assert (other[name] == one[name]).all(), name


@pytest.fixture
def scene(make_raster: MakeRaster, blocks: Blocks) -> Path:
    image = blocks(110, 130, side=9)
    image[:, 40:60, 45:65] = 0
    return make_raster(image, photometric="rgb", nodata=0)


@pytest.mark.parametrize(
    "options",
    few(
        [
            {},
            {
                "gsd_m": 1.7,
                "polygon_options": gdl.PolygonOptions(min_area_px=40, fill_holes=True),
                "sieve_labels": True,
            },
            {"gsd_m": 0.7, "executor": InThisProcess(memory_limit=1)},
            {"polygon_options": gdl.PolygonOptions(min_area_m2=30, tolerance_px=1.5, smooth=True)},
            {"polygon_options": gdl.PolygonOptions(tolerance_px=1, keep_outline=True, connectivity=8)},
        ],
        3,
    ),
    ids=["plain", "coarser", "finer, in columns", "sieved and smooth", "outline"],
)
def test_results_are_those_on_the_whole_grid(scene: Path, tiny: Model, tmp_path: Path, options: dict[str, Any]) -> None:
    run: dict[str, Any] = {"model": tiny, "aoi": AREA, **TILE, **options}
    whole, cropped = outputs_in(tmp_path / "whole"), outputs_in(tmp_path / "cropped")
    one = gdl.segment(scene, crop=False, **run, **whole).facts
    other = gdl.segment(scene, crop=True, **run, **cropped).facts
    check_cropped(cropped, whole)
    assert (one["crop"], one["shape"]) == (None, [110, 130])
    assert (other["crop"], other["shape"]) == ([22, 90, 31, 94], [68, 63])
    assert other["pixels"] == one["pixels"]
    assert other["tiles"]["forwarded"] <= one["tiles"]["forwarded"]
    assert sum(other["tiles"].values()) <= sum(one["tiles"].values())
    assert "cropped to the area of interest, 63 × 68 px from column 31, row 22" in other["notes"][0]


def test_pieces_lie_on_the_window(scene: Path, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodeeplab.pipeline.running.PIECE_SIZE", 40)
    run: dict[str, Any] = {"model": tiny, "aoi": AREA, "crop": True, **TILE}
    gdl.segment(scene, label_raster=tmp_path / "a.tif", shards=tmp_path / "pieces", **run)
    assert len(list((tmp_path / "pieces").glob("*.tif"))) == 4
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "pieces" / "labels.vrt") as pieces:
        assert (pieces.transform, pieces.shape) == (one.transform, one.shape)
        assert np.array_equal(pieces.read(), one.read())


class Cut(Exception):
    """What ends a run."""


def cut(done: int, total: int) -> None:
    if done:
        raise Cut


def test_a_run_is_resumed_with_the_same_crop_only(scene: Path, tiny: Model, tmp_path: Path) -> None:
    run: dict[str, Any] = {"model": tiny, "aoi": AREA, **TILE}
    whole, cropped = outputs_in(tmp_path / "whole"), outputs_in(tmp_path / "cropped")
    gdl.segment(scene, crop=False, **run, **whole)
    with pytest.raises(Cut):
        gdl.segment(scene, crop=True, progress=cut, **run, **cropped)
    with pytest.raises(gdl.OutputError, match=r"made with crop \[22, 90, 31, 94\], now null; shape"):
        gdl.segment(scene, crop=False, resume=True, **run, **cropped)
    done = gdl.segment(scene, crop=True, resume=True, **run, **cropped).facts
    assert 0 < done["resumed_share"] < 1
    check_cropped(cropped, whole)
    with pytest.raises(gdl.OutputError, match="is complete and was made with crop"):
        gdl.segment(scene, crop=False, resume=True, **run, **cropped)
    assert gdl.segment(scene, crop=True, resume=True, **run, **cropped).facts["notes"] == ["done before"]


def test_a_small_area_is_cropped_to_and_that_is_said(scene: Path, tiny: Model, tmp_path: Path) -> None:
    area = shapely.box(LEFT + 60, TOP - 81, LEFT + 71, TOP - 70)
    told = r"cropped to the area of interest, 11 × 11 px from column 60, row 70 .*\(`crop=False` for all of it\)"
    with pytest.warns(gdl.GeoDeepLabWarning, match=told):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, aoi=area, **TILE)
    gdl.segment(scene, label_raster=tmp_path / "b.tif", model=tiny, aoi=area, crop=False, **TILE)
    gdl.segment(scene, label_raster=tmp_path / "c.tif", model=tiny, aoi=AREA, **TILE)
    assert [read(tmp_path / name).shape[1:] for name in ("a.tif", "b.tif", "c.tif")] == [
        (11, 11),
        (110, 130),
        (110, 130),
    ]


@pytest.mark.parametrize(
    ("side", "wanted", "is_cropped"),
    [(99, None, True), (100, None, False), (100, True, True), (99, False, False), (1000, True, True)],
)
def test_under_one_per_cent_of_the_grid(side: int, wanted: bool | None, is_cropped: bool) -> None:
    grid = Grid(shape=(1000, 1000), transform=Affine.identity(), crs=None)
    assert LARGEST_SHARE == 0.01
    area = Shard(row_start=0, row_stop=side, col_start=0, col_stop=side)
    crop = choose_crop(grid, area, wanted)
    assert (crop is not None) == is_cropped
    assert crop is None or crop.extent == area


def test_a_crop_needs_an_area_on_the_scene(scene: Path, tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(gdl.OptionError, match="`aoi=`, too"):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, crop=True)
    between = shapely.box(LEFT + 0.6, TOP - 1.4, LEFT + 1.4, TOP - 0.6)  # no pixel's centre
    for area in (shapely.box(0, 0, 10, 10), between):
        with pytest.raises(gdl.SceneError, match=r"no pixel within the area of interest: in EPSG:32633 the area lies"):
            gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, aoi=area)
    gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, crop=False, **TILE)  # there is nothing to crop


def test_an_evaluation_is_that_of_the_whole_grid(scene: Path, tiny: Model, tmp_path: Path) -> None:
    run: dict[str, Any] = {"model": tiny, "aoi": AREA, **TILE}
    gdl.segment(scene, tmp_path / "truth.gpkg", label_raster=tmp_path / "truth.tif", model=tiny, tile_size=128)
    gdl.segment(scene, label_raster=tmp_path / "whole.tif", crop=False, **run)
    gdl.segment(scene, label_raster=tmp_path / "cropped.tif", crop=True, **run)
    for truth, field in (("truth.tif", None), ("truth.gpkg", "class_name")):
        one, other = (
            gdl.evaluate(tmp_path / name, tmp_path / truth, aoi=AREA, class_field=field)
            for name in ("whole.tif", "cropped.tif")
        )
        scores, others = one.to_dict(), other.to_dict()
        assert {key for key in scores if scores[key] != others[key]} <= {"labels", "notes", "seconds"}


MIDDLE = 612_345
"""Where the scene lies in a mosaic of a million pixels along each axis."""


@pytest.fixture
def mosaic(scene: Path, tmp_path: Path) -> Path:
    """A VRT of 1,000,000 × 1,000,000 px that holds the scene, and nothing else."""
    return write_mosaic(tmp_path / "mosaic.vrt", scene, shape=(1_000_000, 1_000_000), at=(MIDDLE, MIDDLE))


@pytest.mark.parametrize("gsd_m", few(["native", 1.3], 1))
def test_an_area_of_a_huge_mosaic_costs_no_more_than_itself(
    mosaic: Path, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gsd_m: str | float
) -> None:
    run: dict[str, Any] = {"model": tiny, "aoi": AREA, "gsd_m": gsd_m, **TILE}
    made: list[tuple[int, ...]] = []
    for name in ("arange", "empty", "zeros", "full", "ones"):
        make = getattr(np, name)

        def counted(*args: Any, _make: Callable[..., Any] = make, **options: Any) -> Any:  # noqa: ANN401
            array = _make(*args, **options)
            made.append(array.shape)
            return array

        monkeypatch.setattr(np, name, counted)
    found = preflight_request(Request(scene=mosaic, **run))
    assert found.crop == (MIDDLE + 22, MIDDLE + 90, MIDDLE + 31, MIDDLE + 94)
    assert found.run is not None
    assert found.run.tiles < 40
    assert found.run.raster_bytes_most < 1e6
    with pytest.warns(gdl.GeoDeepLabWarning, match="cropped"):
        done = gdl.segment(mosaic, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", **run).facts
    assert sum(done["tiles"].values()) == found.run.tiles + round(done["repeated_tiles"] * found.run.tiles)
    assert not [shape for shape in made if any(700_000 < length <= 1_000_000 for length in shape)], "as long as a side"
    with rasterio.open(tmp_path / "a.tif") as src:
        assert src.shape == (68, 63)
        assert src.transform == Affine(1, 0, LEFT + 31, 0, -1, TOP - 22)
    assert json.loads(found.to_json())["crop"] == list(found.crop)


def test_pixels_of_a_world_map_are_measured_where_the_area_is(
    make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
) -> None:
    """In Web Mercator a pixel of 1 m is 0.5 m at 60 degrees, and the middle of the map is at the equator."""
    north = 8_399_737.9  # 60 degrees
    scene = make_raster(blocks(120, 120), photometric="rgb", crs="EPSG:3857", transform=Affine(1, 0, 0, 0, -1, north))
    world = write_mosaic(tmp_path / "world.vrt", scene, shape=(round(2 * north), 100_000), at=(0, 0))
    area = shapely.box(20, north - 100, 110, north - 20)
    with pytest.warns(gdl.GeoDeepLabWarning, match=r"pixels of 0\.50\d m are scaled to 1 m|cropped"):
        done = gdl.segment(world, label_raster=tmp_path / "a.tif", model=tiny, aoi=area, gsd_m=1, **TILE)
    assert any("pixels of 0.50" in note for note in done.facts["notes"])
    found = preflight_request(Request(scene=world, model=tiny, aoi=area, **TILE))
    assert found.scene.gsd_m == pytest.approx((0.5, 0.5), abs=0.01)
