"""`segment` from end to end, with a tiny model of random weights."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize

import geodeeplab as gdl
from geodeeplab.inference import CONFIDENCE_NODATA
from geodeeplab.models import Model

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]

TRANSFORMS = {
    "north-up": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    "south-up": Affine(2, 0, 500_000, 0, 2, 4_900_000),
    "rotated": Affine(0.6, 0.8, 500_000, 0.8, -0.6, 5_000_000),
    "sheared": Affine(1, 0.7, 500_000, 0, -1.3, 5_000_000),
    "mirrored": Affine(-1, 0, 500_000, 0, -1, 5_000_000),
}


def read_labels(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        labels: np.ndarray = src.read(1)
    return labels


def read_polygons(path: Path) -> tuple[dict[str, object], np.ndarray, dict[str, np.ndarray]]:
    meta, _, geometries, values = pyogrio.raw.read(path, layer="landcover")
    return meta, shapely.from_wkb(geometries), dict(zip(meta["fields"], values, strict=True))


def burn(path: Path, shape: tuple[int, int], transform: Affine) -> np.ndarray:
    _, geometries, fields = read_polygons(path)
    back = np.zeros(shape, np.uint8)
    if len(geometries):
        rasterize(zip(geometries, map(int, fields["class_id"]), strict=True), out=back, transform=transform)
    return back


class TestGrids:
    @pytest.mark.parametrize("name", sorted(TRANSFORMS))
    def test_any_grid_stays_as_it_is(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, name: str
    ) -> None:
        scene = make_raster(blocks(70, 90), photometric="rgb", transform=TRANSFORMS[name])
        done = gdl.segment(scene, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", model=tiny)
        with rasterio.open(tmp_path / "a.tif") as src:
            assert (src.shape, src.crs.to_epsg()) == ((70, 90), 32633)
            assert src.transform.almost_equals(TRANSFORMS[name], precision=1e-9)
            labels = src.read(1)
        np.testing.assert_array_equal(burn(tmp_path / "a.gpkg", (70, 90), TRANSFORMS[name]), labels)
        pixel_area_m2 = abs(TRANSFORMS[name].determinant)
        counts = {key: count for key, count in done.facts["pixels"].items() if count}
        for key, area_m2 in done.class_areas_m2().items():
            assert area_m2 == pytest.approx(counts[key] * pixel_area_m2, rel=2e-3)  # UTM's scale

    def test_labels_do_not_depend_on_the_grid(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        found = []
        for name, transform in TRANSFORMS.items():
            scene = make_raster(blocks(70, 90), f"{name}.tif", photometric="rgb", transform=transform)
            gdl.segment(scene, label_raster=tmp_path / f"{name}-labels.tif", model=tiny)
            found.append(read_labels(tmp_path / f"{name}-labels.tif"))
        assert all((labels == found[0]).all() for labels in found)

    def test_no_crs_stays_no_crs(self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path) -> None:
        scene = make_raster(blocks(30, 40), photometric="rgb", crs=None, transform=Affine(2, 0, 7, 0, -2, 9))
        with pytest.warns(gdl.GeoDeepLabWarning, match="no CRS"):
            done = gdl.segment(scene, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", model=tiny)
        with rasterio.open(tmp_path / "a.tif") as src:
            assert src.crs is None
            assert src.transform == Affine(2, 0, 7, 0, -2, 9)
        meta, _, fields = read_polygons(tmp_path / "a.gpkg")
        assert meta["crs"] is None or "Undefined" in str(meta["crs"])
        assert np.isnan(fields["area_m2"].astype(float)).all()
        assert all(np.isnan(area) for area in done.class_areas_m2().values())

    @pytest.mark.parametrize("driver", ["PNG", "JPEG"])
    def test_pictures(self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, driver: str) -> None:
        scene = make_raster(blocks(30, 40), f"a.{driver.lower()}", driver=driver, crs=None, transform=None)
        with pytest.warns(gdl.GeoDeepLabWarning, match="no CRS"):
            gdl.segment(scene, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", model=tiny)
        with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "a.tif") as src:
            assert src.transform.is_identity

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (127, 129), (224, 128)])
    def test_any_shape(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, shape: tuple[int, int]
    ) -> None:
        scene = make_raster(blocks(*shape), photometric="rgb")
        done = gdl.segment(
            scene, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", confidence=tmp_path / "c.tif", model=tiny
        )
        labels, confidence = read_labels(tmp_path / "a.tif"), read_labels(tmp_path / "c.tif")
        assert labels.shape == confidence.shape == shape
        assert labels.min() >= 1
        assert confidence.max() <= 100
        assert done.polygons.geometry.area.sum() == shape[0] * shape[1]
        np.testing.assert_array_equal(burn(tmp_path / "a.gpkg", shape, rasterio.open(scene).transform), labels)


class TestPixels:
    def test_nodata_gets_no_label_no_confidence_and_no_polygon(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        image = np.maximum(blocks(300, 400), 1)
        image[:, :140, :260] = 0  # more than a tile
        image[:, 200, 300:310] = 0
        image[0, 250] = 0  # a band alone is a dark pixel
        scene = make_raster(image, photometric="rgb", nodata=0)
        done = gdl.segment(
            scene, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", confidence=tmp_path / "c.tif", model=tiny
        )
        invalid = (image == 0).all(axis=0)
        labels, confidence = read_labels(tmp_path / "a.tif"), read_labels(tmp_path / "c.tif")
        np.testing.assert_array_equal(labels == 0, invalid)
        np.testing.assert_array_equal(confidence == CONFIDENCE_NODATA, invalid)
        assert confidence[~invalid].max() <= 100
        assert confidence[~invalid].min() >= 33  # the largest of three
        np.testing.assert_array_equal(burn(tmp_path / "a.gpkg", labels.shape, rasterio.open(scene).transform), labels)
        assert done.facts["tiles"]["skipped"] == 2
        with rasterio.open(tmp_path / "a.tif") as src:
            assert src.nodata == 0
        with rasterio.open(tmp_path / "c.tif") as src:
            assert src.nodata == CONFIDENCE_NODATA

    @pytest.mark.parametrize("how", ["alpha", "mask", "nan"])
    def test_validity_of_any_kind(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, how: str
    ) -> None:
        image, hidden = blocks(60, 80), np.zeros((60, 80), bool)
        hidden[10:30, 20:50] = True
        rescale = None
        if how == "alpha":
            alpha = np.where(hidden, 0, 255).astype("uint8")[None]
            scene = make_raster(np.concatenate([image, alpha]), colorinterp=("red", "green", "blue", "alpha"))
        elif how == "mask":
            scene = make_raster(image, photometric="rgb", mask=~hidden)
        else:
            floats = image.astype("float32")
            floats[1, hidden] = np.nan
            scene, rescale = make_raster(floats, photometric="rgb"), (0, 255)
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, rescale=rescale)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif") == 0, hidden)

    def test_bands_are_found_by_name_in_any_order(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        image = blocks(60, 80)
        scenes = {
            "rgb": (make_raster(image, "rgb.tif", photometric="rgb"), None),
            "bgr": (make_raster(image[::-1], "bgr.tif", names=("Blue", "Green", "Red")), None),
            "more": (
                make_raster(
                    np.concatenate([image[:1] * 0, image, image[:1]]),
                    "more.tif",
                    names=("nir", "red", "green", "blue", "swir"),
                ),
                None,
            ),
            "numbers": (make_raster(image[[2, 0, 1]], "numbers.tif", photometric="minisblack"), [2, 3, 1]),
            "nameless": (make_raster(image, "nameless.tif", photometric="minisblack"), None),
        }
        found = {}
        for name, (scene, bands) in scenes.items():
            gdl.segment(scene, label_raster=tmp_path / f"{name}-labels.tif", model=tiny, bands=bands)
            found[name] = read_labels(tmp_path / f"{name}-labels.tif")
        assert len(np.unique(found["rgb"])) > 1
        for name, labels in found.items():
            np.testing.assert_array_equal(labels, found["rgb"], err_msg=name)

    @pytest.mark.parametrize(
        ("dtype", "factor", "rescale"),
        [
            ("uint16", 256, (0, 255 * 256)),
            ("uint16", 256, "0,65280"),
            ("int16", 64, (0, 255 * 64)),
            ("int32", 1024, (0, 255 * 1024)),
            ("uint32", 1024, (0, 255 * 1024)),
            ("float32", 1 / 256, (0, 255 / 256)),
            ("float64", 2.0, (0.0, 510.0)),
        ],
    )
    def test_rescaled_scenes_give_the_labels_of_the_original(
        self,
        make_raster: MakeRaster,
        blocks: Blocks,
        tiny: Model,
        tmp_path: Path,
        dtype: str,
        factor: float,
        rescale: str | tuple[float, float],
    ) -> None:
        image = blocks(60, 80)
        gdl.segment(make_raster(image, photometric="rgb"), label_raster=tmp_path / "a.tif", model=tiny)
        scaled = make_raster((image.astype("float64") * factor).astype(dtype), "scaled.tif", photometric="rgb")
        done = gdl.segment(scaled, label_raster=tmp_path / "b.tif", model=tiny, rescale=rescale)
        assert done.facts["rescale"] == [[0.0, 255.0 * factor]] * 3
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), read_labels(tmp_path / "b.tif"))

    def test_percentiles_are_those_of_the_scene_by_band(
        self, make_raster: MakeRaster, tiny: Model, tmp_path: Path
    ) -> None:
        ramp = np.linspace(0, 1000, 101 * 101).reshape(101, 101)
        image = np.stack([ramp, ramp * 2 + 500, np.full_like(ramp, 7)]).astype("float32")
        image[:, 0, :3] = [np.inf, -np.inf, np.nan]  # no percentile is infinite
        done = gdl.segment(
            make_raster(image, photometric="rgb"), label_raster=tmp_path / "a.tif", model=tiny, rescale="2%,98%"
        )
        (low, high), second, third = done.facts["rescale"]
        assert (low, high) == pytest.approx((20, 980), abs=0.5)
        assert second == pytest.approx((540, 2460), abs=1)
        assert third == [7.0, 8.0]  # a band of one value has no spread
        json.dumps(done.facts, allow_nan=False)


class TestOutputs:
    def test_facts_hold_the_pins_and_what_was_done(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(150, 200), photometric="rgb")
        calls: list[tuple[int, int]] = []
        done = gdl.segment(
            scene,
            tmp_path / "a.gpkg",
            label_raster=tmp_path / "a.tif",
            model=tiny,
            progress=lambda *call: calls.append(call),
        )
        facts = done.facts
        for pin in ("geodeeplab", "torch", "model", "device", "precision", "batch_size", "threads", "tile_size"):
            assert facts[pin], pin
        assert (facts["overlap"], facts["blend"], facts["shape"]) == (32, "hann", [150, 200])
        assert facts["tiles"] == {"forwarded": 4, "skipped": 0}
        labels = read_labels(tmp_path / "a.tif")
        assert list(facts["pixels"].values()) == np.bincount(labels.ravel(), minlength=4)[1:].tolist()
        assert len(np.unique(labels)) > 1, "a scene of one class shows little"
        assert facts["polygons"] == len(done.polygons)
        assert set(facts["seconds"]) >= {"segment", "label_raster", "polygons", "waited_for_reads", "total"}
        assert calls == sorted(calls)
        assert calls[-1] == (150 * 200, 150 * 200)
        assert (done.polygons_path, done.label_raster_path, done.confidence_path) == (
            tmp_path / "a.gpkg",
            tmp_path / "a.tif",
            None,
        )

    def test_the_files_say_where_they_come_from(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(60, 80), photometric="rgb")
        gdl.segment(scene, tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif", model=tiny)
        with rasterio.open(tmp_path / "a.tif") as src:
            pins = json.loads(src.tags()["GEODEEPLAB"])
            assert src.colormap(1)[2] == (30, 110, 50, 255)
            assert (src.profile["tiled"], src.dtypes) == (True, ("uint8",))
        assert (pins["model"], pins["tile_size"], pins["scene"]) == ("tiny", 128, str(scene))
        assert "<Category>wood</Category>" in (tmp_path / "a.tif.aux.xml").read_text()
        _, geometries, fields = read_polygons(tmp_path / "a.gpkg")
        assert list(fields) == ["class_id", "class_name", "area_m2", "perimeter_m", "confidence", "confidence_min"]
        assert set(zip(fields["class_id"], fields["class_name"], strict=True)) <= {
            (1, "field"),
            (2, "wood"),
            (3, "roof"),
        }
        assert shapely.is_valid(geometries).all()

    def test_all_outputs_or_none(
        self,
        make_raster: MakeRaster,
        blocks: Blocks,
        tiny: Model,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(*_: object, **__: object) -> int:
            raise gdl.OutputError("cannot write polygons: a test says so")

        scene, out = make_raster(blocks(60, 80), photometric="rgb"), tmp_path / "out"
        out.mkdir()
        (out / "c.tif").write_text("old")

        def segment() -> None:
            gdl.segment(
                scene, out / "a.gpkg", label_raster=out / "a.tif", confidence=out / "c.tif", model=tiny, overwrite=True
            )

        with monkeypatch.context() as patch:
            patch.setattr("geodeeplab.pipeline.polygons.write_batches", fail)
            with pytest.raises(gdl.OutputError, match="a test says so"):
                segment()
        assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == ["c.tif"]
        assert (out / "c.tif").read_text() == "old"
        segment()
        assert sorted(path.name for path in out.iterdir()) == ["a.gpkg", "a.tif", "a.tif.aux.xml", "c.tif"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    def test_progress_may_stop_the_run(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, error: type[BaseException]
    ) -> None:
        def stop(done: int, total: int) -> None:
            assert done < total
            raise error

        scene, out = make_raster(blocks(300, 60), photometric="rgb"), tmp_path / "out"
        out.mkdir()
        with pytest.raises(error):
            gdl.segment(scene, out / "a.gpkg", label_raster=out / "a.tif", model=tiny, progress=stop)
        assert not list(out.iterdir())

    def test_what_was_not_asked_for_is_refused(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(30, 40), photometric="rgb")
        only_labels = gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny)
        with pytest.raises(gdl.OptionError, match="wrote no polygons: give segment an output"):
            _ = only_labels.polygons
        with pytest.raises(gdl.OptionError, match="wrote no polygons"):
            only_labels.class_areas_m2()
        only_polygons = gdl.segment(scene, tmp_path / "a.gpkg", model=tiny)
        with pytest.raises(gdl.OptionError, match="wrote no label raster: pass `label_raster="):
            only_polygons.to_xarray()

    def test_labels_as_a_data_array(self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path) -> None:
        pytest.importorskip("rioxarray")
        done = gdl.segment(make_raster(blocks(30, 40), photometric="rgb"), label_raster=tmp_path / "a.tif", model=tiny)
        array = done.to_xarray()
        assert array.dims == ("y", "x")
        np.testing.assert_array_equal(array.values, read_labels(tmp_path / "a.tif"))
        said = array.coords["spatial_ref"].attrs
        assert "UTM zone 33N" in said["crs_wkt"]
        assert [float(number) for number in said["GeoTransform"].split()] == [500_000, 1, 0, 5_000_000, 0, -1]
        array.close()


class TestModels:
    def test_the_bundled_model_is_the_default(self, make_raster: MakeRaster, blocks: Blocks, tmp_path: Path) -> None:
        scene = make_raster(blocks(100, 120), photometric="rgb")
        paths = tmp_path / "a.gpkg", tmp_path / "a.tif"
        done = gdl.segment(scene, paths[0], label_raster=paths[1], tile_size=128, overlap=32, gsd_m="native")
        assert done.facts["model"] == "landcover-aerial"
        assert set(done.class_areas_m2()) <= {"building", "land", "road", "vegetation", "water"}
        assert sum(done.class_areas_m2().values()) == pytest.approx(12_000, rel=2e-3)

    def test_a_model_by_path_and_loaded_is_the_same(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tiny_model: Path, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(60, 80), photometric="rgb")
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny)
        gdl.segment(str(scene), label_raster=str(tmp_path / "b.tif"), model=str(tiny_model))
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), read_labels(tmp_path / "b.tif"))


@pytest.mark.parametrize("tall", [False, True])
def test_wide_and_tall_scenes_have_no_untouched_edge(
    make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, tall: bool
) -> None:
    shape = (1000, 20) if tall else (20, 1000)
    scene = make_raster(blocks(*shape), photometric="rgb", tiled=True, blockxsize=16, blockysize=16)
    gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny)
    assert read_labels(tmp_path / "a.tif").all()
