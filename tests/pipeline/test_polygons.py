"""What polygons look like: options, in `segment` as in `vectorize`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

import geodeeplab as gdl
from geodeeplab.models import Model
from tests.examples import few

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]

ALL = gdl.PolygonOptions(tolerance_px=1.5, smooth=True, min_area_px={"wood": 9, "2": 5, 3: 4})


@pytest.fixture
def patches() -> np.ndarray:
    """Labels 0–3 in patches of 3 × 4 px with single pixels strewn in."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, 4, (1, 12, 14)).repeat(4, axis=1).repeat(3, axis=2).astype("uint8")
    labels[0, rng.integers(0, 48, 30), rng.integers(0, 42, 30)] = rng.integers(1, 4, 30)
    return labels


def layer(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path, layer="landcover")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"tolerance_m": 1, "tolerance_px": 1},
            "`tolerance_m=` and `tolerance_px=` say the same in two units",
        ),
        ({"min_area_m2": 1, "min_area_px": 1}, "`min_area_m2=` and `min_area_px=` say the same"),
        ({"tolerance_px": 0}, "`tolerance_px=` is a distance above 0, not 0: leave it out"),
        ({"tolerance_m": float("nan")}, "`tolerance_m=` is a distance above 0, not nan"),
        ({"min_area_px": -1}, "`min_area_px=` is an area of 0 or more, not -1"),
        ({"min_area_m2": {"wood": float("inf")}}, "`min_area_m2=` is an area of 0 or more, not inf"),
        ({"simplify": "tp"}, "lines are simplified by vw or dp, not 'tp'"),
        ({"connectivity": 6}, "pixels have 4 or 8 neighbours, not 6"),
        ({"smooth": True}, "`smooth=` rounds the lines that are simplified: give a tolerance too"),
        ({"keep_outline": True}, "`keep_outline=` leaves out some of the lines that are simplified: give a tolerance"),
        ({"square": ["wood"]}, "`square=` straightens lines that are simplified: give a tolerance too"),
        (
            {"square": ["wood"], "tolerance_px": 1, "keep_outline": True},
            "`square=` moves walls, and `keep_outline=` leaves those to nodata as they are: give one of them",
        ),
        ({"square_tolerance_px": 0}, "`square_tolerance_px=` is a distance above 0, not 0"),
        ({"fill_holes": True}, "holes fill up below a minimum area: give `min_area_px=`"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], match: str) -> None:
    with pytest.raises(gdl.OptionError, match=match):
        gdl.PolygonOptions(**options)


@pytest.mark.filterwarnings("ignore:.* has no CRS")
@pytest.mark.parametrize(
    ("options", "raster", "match"),
    [
        ({"tolerance_m": 1.0}, {"crs": None}, "tolerance.* needs a CRS.*pixels"),
        ({"min_area_m2": 1.0}, {"crs": None}, "needs a CRS.*pixels"),
        ({"min_area_px": {"sea": 1.0}}, {}, "no class is called 'sea', there are none with a name: give a name or"),
        (
            {"square": ["sea"], "tolerance_px": 1},
            {},
            "`square=` names 'sea', which is no class; there are none with a name: give some of these",
        ),
        ({"out_crs": "EPSG:1"}, {}, "'EPSG:1' is no CRS .*: give e.g. EPSG:32633"),
        ({"out_crs": "EPSG:3857"}, {"crs": None}, "the raster has no CRS, so its polygons cannot be in EPSG:3857"),
        ({"max_vertices": 3}, {}, "max.vertices|vertices"),
    ],
)
def test_options_that_do_not_suit_the_raster(
    make_raster: MakeRaster,
    patches: np.ndarray,
    tmp_path: Path,
    options: dict[str, Any],
    raster: dict[str, Any],
    match: str,
) -> None:
    path, out = make_raster(patches, **raster), tmp_path / "out"
    out.mkdir()
    with pytest.raises(gdl.OptionError, match=match):
        gdl.vectorize(path, out / "a.gpkg", gdl.PolygonOptions(**options))
    assert not list(out.iterdir())


def test_a_tolerance_in_metres_is_one_in_pixels(make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path) -> None:
    path = make_raster(patches)  # pixels of 1 m in UTM, whose scale is 0.9996 here
    metres = gdl.vectorize(path, tmp_path / "a.gpkg", gdl.PolygonOptions(tolerance_m=1.501))
    pixels = gdl.vectorize(path, tmp_path / "b.gpkg", gdl.PolygonOptions(tolerance_px=1.5))
    assert list(metres.polygons.geometry) == list(pixels.polygons.geometry)
    exact = gdl.vectorize(path, tmp_path / "c.gpkg")
    assert metres.polygons.count_coordinates().sum() < exact.polygons.count_coordinates().sum()


def test_small_polygons_merge(make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path) -> None:
    path = make_raster(patches)
    found = gdl.vectorize(path, tmp_path / "a.gpkg", gdl.PolygonOptions(min_area_px=9)).polygons
    alone = shapely.STRtree(found.geometry.values)
    for index in np.flatnonzero(found.area < 8.99):  # only what touches no other polygon along a line may stay
        shape = found.geometry.iloc[index]
        touching = [found.geometry.iloc[k] for k in alone.query(shape) if k != index]
        assert all(shape.intersection(other).length == 0 for other in touching)
    assert found.area.sum() == np.count_nonzero(patches)
    by_area = gdl.vectorize(path, tmp_path / "b.gpkg", gdl.PolygonOptions(min_area_m2=8.5)).polygons
    assert list(by_area.geometry) == list(found.geometry)


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".fgb", ".geojson"])
def test_every_format_in_another_crs(make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path, suffix: str) -> None:
    path = make_raster(patches)
    options = gdl.PolygonOptions(tolerance_px=1, out_crs=None if suffix == ".geojson" else "EPSG:3035")
    written = gdl.vectorize(path, tmp_path / f"a{suffix}", options).polygons
    plain = gdl.vectorize(path, tmp_path / "b.gpkg", gdl.PolygonOptions(tolerance_px=1)).polygons
    assert written.crs.to_epsg() == (4326 if suffix == ".geojson" else 3035)
    assert len(written) == len(plain)
    assert written.area_m2.sum() == pytest.approx(plain.area_m2.sum(), rel=1e-6)
    assert written.geometry.is_valid.all()
    assert written.total_bounds == pytest.approx(plain.to_crs(written.crs).total_bounds, rel=1e-6)


def test_confidence_of_another_raster(make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path) -> None:
    confidence = np.where(patches == 2, 80, 30).astype("uint8")
    beside = make_raster(confidence, "c.tif", nodata=255)
    found = gdl.vectorize(make_raster(patches), tmp_path / "a.gpkg", confidence=beside).polygons
    assert (found.confidence == np.where(found.class_id == 2, 80, 30)).all()
    assert (found.confidence_min == found.confidence).all()
    with pytest.raises(gdl.SceneError, match="does not lie on the grid of"):
        gdl.vectorize(make_raster(patches), tmp_path / "b.gpkg", confidence=make_raster(confidence[:, :-1], "d.tif"))
    with pytest.raises(gdl.SceneError, match=r"confidence is uint8 from 0 to 100, .* holds float32"):
        gdl.vectorize(
            make_raster(patches), tmp_path / "b.gpkg", confidence=make_raster(confidence.astype("float32"), "e.tif")
        )


def test_names_and_colours_of_anyones_raster(make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path) -> None:
    path = make_raster(patches)
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {1: (250, 0, 0), 2: (0, 250, 0), 3: (0, 0, 250)})
    numbered = gdl.vectorize(path, tmp_path / "a.gpkg").polygons
    assert (numbered.class_name == numbered.class_id.astype(str)).all()
    names = "".join(f"<Category>{name}</Category>" for name in ("none", "sea", "", "wood"))
    band = f'<PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
    Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    named = gdl.vectorize(path, tmp_path / "b.gpkg").polygons
    assert dict(zip(named.class_id, named.class_name.fillna("null"), strict=True)) == {1: "sea", 2: "null", 3: "wood"}
    style = gpd.read_file(tmp_path / "b.gpkg", layer="layer_styles").styleQML.iloc[0]
    assert 'value="250,0,0,255' in style
    assert "wood" in style


class TestSegment:
    @pytest.mark.parametrize("shards", few([None, 150], 1))
    def test_polygons_of_a_run_are_those_of_its_labels(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, shards: int | None
    ) -> None:
        from geodeeplab.pipeline.executor import InThisProcess

        scene = make_raster(blocks(300, 280), photometric="rgb", tiled=True, blockxsize=64, blockysize=64)
        executor = InThisProcess() if shards is None else InThisProcess(memory_limit=1)  # columns of one stride
        for name, options in (("simple", gdl.PolygonOptions(tolerance_px=1)), ("all", ALL)):
            done = gdl.segment(
                scene,
                tmp_path / f"{name}.gpkg",
                label_raster=tmp_path / f"{name}.tif",
                confidence=tmp_path / f"{name}-c.tif",
                model=tiny,
                polygon_options=options,
                executor=executor,
            )
            again = gdl.vectorize(
                tmp_path / f"{name}.tif",
                tmp_path / f"{name}-again.gpkg",
                options,
                confidence=tmp_path / f"{name}-c.tif",
            )
            first, second = done.polygons, again.polygons
            assert len(first) > 1
            assert list(first.geometry) == list(second.geometry)
            assert first.drop(columns="geometry").equals(second.drop(columns="geometry"))

    def test_labels_are_sieved_if_asked_for(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(200, 180), photometric="rgb")
        options = gdl.PolygonOptions(min_area_px=400)
        plain = gdl.segment(
            scene, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", model=tiny, polygon_options=options
        )
        sieved = gdl.segment(
            scene,
            tmp_path / "b.gpkg",
            label_raster=tmp_path / "b.tif",
            model=tiny,
            polygon_options=options,
            sieve_labels=True,
        )
        assert list(plain.polygons.geometry) == list(sieved.polygons.geometry)
        exact = [gdl.vectorize(tmp_path / f"{name}.tif", tmp_path / f"{name}2.gpkg").polygons for name in "ab"]
        assert len(exact[0]) > len(exact[1])
        assert list(exact[1].geometry) == list(sieved.polygons.geometry)
        with pytest.raises(
            gdl.OptionError, match="`sieve_labels=` applies the minimum area to the labels: give `min_area"
        ):
            gdl.segment(scene, label_raster=tmp_path / "c.tif", model=tiny, sieve_labels=True)
