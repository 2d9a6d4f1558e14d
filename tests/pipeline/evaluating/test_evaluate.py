import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from shapely import box

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabWarning, OptionError, OutputError, SceneError
from geodeeplab.evaluation import boundary_counts, confusion_matrix
from geodeeplab.pipeline.evaluating.class_windows import classes_text
from geodeeplab.raster import LabelClass, classes_tag

UTM = "EPSG:32633"
TRANSFORM = Affine(2, 0, 500_000, 0, -2, 5_000_000)
CLASSES = [
    LabelClass(id=1, name="field", color=(220, 200, 90)),
    LabelClass(id=2, name="wood", color=(30, 110, 50)),
    LabelClass(id=3, name="roof", color=(200, 60, 50)),
]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a raster (H, W) of 2 m pixels, with the classes' names if they are given."""

    def write_raster(
        array: Any,  # noqa: ANN401 - an array or nested lists
        name: str = "labels.tif",
        *,
        classes: list[LabelClass] | None = CLASSES,
        nodata: int | None = 0,
        transform: Affine = TRANSFORM,
        crs: str | None = UTM,
        dtype: str = "uint8",
    ) -> Path:
        array = np.asarray(array, dtype=dtype)
        profile = {"driver": "GTiff", "count": 1, "dtype": dtype, "nodata": nodata, "crs": crs, "transform": transform}
        with rasterio.open(tmp_path / name, "w", height=array.shape[0], width=array.shape[1], **profile) as dst:
            dst.write(array, 1)
            if classes is not None:
                dst.update_tags(**classes_tag(classes))
        return tmp_path / name

    return write_raster


def ground(left: float, top: float, right: float, bottom: float) -> Any:  # noqa: ANN401 - a polygon
    """A box that is drawn in pixels."""
    x0, y0 = TRANSFORM @ (left, bottom)
    x1, y1 = TRANSFORM @ (right, top)
    return box(x0, y0, x1, y1)


def polygons(shapes: dict[str, list[Any]] | list[tuple[Any, Any]], crs: str | None = UTM) -> gpd.GeoDataFrame:
    pairs = list(shapes)
    return gpd.GeoDataFrame({"kind": [kind for kind, _ in pairs]}, geometry=[one for _, one in pairs], crs=crs)


def random_pair(seed: int = 3, shape: tuple[int, int] = (41, 53)) -> tuple[np.ndarray, np.ndarray]:
    """Labels and truth of blobs, with some without either."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, (3, 4)).repeat(15, 0).repeat(15, 1)[: shape[0], : shape[1]]
    truth = np.roll(labels, (5, -5), (0, 1))  # as far as boundaries are looked for
    labels[rng.random(shape) < 0.01], truth[rng.random(shape) < 0.02] = 0, 0
    return labels, truth


LABELS = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 2, 0], [3, 3, 2, 2]]
TRUTH = [[1, 1, 1, 2], [1, 1, 1, 2], [3, 3, 2, 2], [0, 0, 2, 2]]


class TestPixels:
    def test_by_hand(self, write: Write) -> None:
        found = gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), error_max_px=2)
        assert found.counts is not None
        assert found.counts.tolist() == [[4, 2, 0], [0, 5, 0], [0, 0, 2]]
        assert found.missed.tolist() == [0, 1, 0]
        assert found.iou.tolist() == [4 / 6, 5 / 7, 1]
        assert found.accuracy == 11 / 13
        assert found.areas_m2 is not None
        assert found.areas_m2.tolist() == [16, 28, 16]
        assert (found.unit, found.gsd_m, found.distance_px) == ("m", (2, 2), 3)

    def test_truth_without_label_may_count_as_wrong(self, write: Write) -> None:
        found = gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), missed_is_wrong=True)
        assert found.iou.tolist() == [4 / 6, 5 / 8, 1]
        assert found.accuracy == 11 / 14
        assert "1 px of the truth (7.1%), counted as wrong" in found.table()

    @pytest.mark.parametrize("window", [7, 16, 29, 1024])
    def test_windows_do_not_show(self, write: Write, window: int) -> None:
        labels, truth = random_pair()
        found = gdl.evaluate(write(labels), write(truth, "truth.tif"), window=window, distance_px=2, error_max_px=5)
        seen = np.where(labels == 0, 0, truth)
        options: dict[str, Any] = {"class_ids": [1, 2, 3], "ignore": 0}
        assert found.counts is not None
        assert found.bands is not None
        assert np.array_equal(found.counts, confusion_matrix(labels, seen, **options))
        assert np.array_equal(found.bands, boundary_counts(labels, seen, distance=2, **options))
        whole = gdl.evaluate(write(labels), write(truth, "truth.tif"), window=64, distance_px=2, error_max_px=5)
        assert [one.counts.tolist() for one in found.distances] == [one.counts.tolist() for one in whole.distances]
        assert [one.squares.tolist() for one in found.distances] == [one.squares.tolist() for one in whole.distances]
        assert found.overview is not None
        assert whole.overview is not None
        assert np.array_equal(found.overview.wrong, whole.overview.wrong, equal_nan=True)
        assert np.array_equal(found.overview.labels, labels.astype(int) - 1 + 256 * (labels == 0))

    def test_a_large_raster_is_made_small(self, write: Write) -> None:
        labels = np.ones((1500, 900), dtype=np.uint8)
        truth = labels.copy()
        truth[:750] = 2
        one, other = (
            gdl.evaluate(
                write(labels), write(truth, "truth.tif"), window=window, distance_px=1, error_max_px=1
            ).overview
            for window in (400, 1024)
        )
        assert one is not None
        assert other is not None
        assert one.step == 3
        assert one.wrong.shape == one.truth.shape == (500, 300)
        for name in ("wrong", "truth", "labels"):
            assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        assert one.wrong[:250].min() == 1
        assert one.wrong[250:].max() == 0

    def test_the_area_of_interest(self, write: Write, tmp_path: Path) -> None:
        gpd.GeoSeries([ground(0, 0, 2, 2)], crs=UTM).to_crs("EPSG:4326").to_file(tmp_path / "aoi.geojson")
        found = gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), aoi=tmp_path / "aoi.geojson")
        assert found.counts is not None
        assert (found.counts.sum(), found.iou[0]) == (4, 1)
        assert found.areas_m2 is not None
        assert found.areas_m2.tolist() == [16, 0, 0]

    def test_without_crs_there_are_no_metres(self, write: Write) -> None:
        truth = write(TRUTH, "truth.tif", crs=None)
        with pytest.warns(GeoDeepLabWarning, match="has no CRS"):
            found = gdl.evaluate(write(LABELS, crs=None), truth)
        assert (found.unit, found.gsd_m, found.areas_m2, found.boundary_error_m) == ("px", None, None, None)
        assert found.distances[0].mean > 0
        with pytest.warns(GeoDeepLabWarning), pytest.raises(OptionError, match="needs labels with a CRS"):
            gdl.evaluate(write(LABELS, crs=None), truth, distance_m=3)

    def test_metres_of_unequal_pixels(self, write: Write) -> None:
        transform = Affine(0.5, 0, 500_000, 0, -3, 5_000_000)
        labels, truth = np.ones((4, 12)), np.ones((4, 12))
        labels[:, 8:], truth[:, 6:] = 2, 2
        found = gdl.evaluate(write(labels, transform=transform), write(truth, "truth.tif", transform=transform))
        assert found.boundary_error_m is not None
        assert found.boundary_error_m[:2].tolist() == [1, 1]
        assert (
            gdl.evaluate(
                write(labels, transform=transform), write(truth, "truth.tif", transform=transform), distance_m=6
            ).distance_px
            == 5
        )  # a pixel is √(0.5 × 3) m

    def test_calibration(self, write: Write) -> None:
        confidence = write(np.where(np.array(LABELS) == 2, 60, 90), "confidence.tif", nodata=255, classes=None)
        found = gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), confidence=confidence)
        assert found.calibration is not None
        assert found.calibration.counts[[6, 9]].tolist() == [7, 6]
        assert found.calibration.ece == pytest.approx((7 * (5 / 7 - 0.6) + 6 * 0.1) / 13)
        with pytest.raises(SceneError, match="does not lie on the grid"):
            gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), confidence=write(np.ones((2, 2)), "small.tif"))

    def test_areas_of_a_random_sample(self, write: Write) -> None:
        found = gdl.evaluate(
            write([[1, 1, 1, 1, 2, 2, 2, 2]]), write([[1, 1, 1, 2, 2, 2, 0, 0]], "t.tif"), is_sample=True
        )
        assert found.area_estimate is not None
        assert found.area_estimate.adjusted[:2].tolist() == [12, 20]  # 3 of 4 of 16 m² are right
        assert "mapped 0.00 ha" in found.table()
        assert found.to_dict()["classes"][0]["adjusted_area_m2"] == 12

    def test_a_sample_must_hold_every_label(self, write: Write) -> None:
        with pytest.raises(OptionError, match="this one none of wood, roof: draw some there"):
            gdl.evaluate(write(LABELS), write(np.where(np.array(LABELS) == 1, 1, 0), "t.tif"), is_sample=True)
        with pytest.warns(GeoDeepLabWarning), pytest.raises(OptionError, match="pixels of a known size"):
            gdl.evaluate(write(LABELS, crs=None), write(TRUTH, "truth.tif", crs=None), is_sample=True)

    @pytest.mark.parametrize("option", ["window", "error_max_px", "distance_px"])
    def test_numbers_out_of_range(self, write: Write, option: str) -> None:
        with pytest.raises(OptionError, match=f"`{option}=` is at least 1 pixel, not 0"):
            gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), **{option: 0})  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="to less than 1, not 1"):
            gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), object_iou=1)


class TestTruthRasters:
    def test_another_grid_by_nearest(self, write: Write) -> None:
        coarse = write([[1, 2], [3, 0]], "truth.tif", transform=TRANSFORM @ Affine.scale(2))
        found = gdl.evaluate(write(LABELS), coarse)
        assert found.counts is not None
        assert found.counts.tolist() == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
        assert "brought onto the grid" in found.table()

    def test_another_crs(self, write: Write) -> None:
        degrees = Affine(1e-5, 0, 15 - 1e-4, 0, -1e-5, 45.1535)
        truth = write(np.full((200, 200), 2), "truth.tif", transform=degrees, crs="EPSG:4326")
        found = gdl.evaluate(write(LABELS), truth)
        assert found.counts is not None
        assert found.counts.sum(axis=1).tolist() == [0, 15, 0]

    def test_classes_are_found_by_name_if_they_have_one(self, write: Write) -> None:
        own = [LabelClass(id=7, name="Roof", color=(0, 0, 0)), LabelClass(id=1, name="wood", color=(0, 0, 0))]
        own.append(LabelClass(id=2, name="field ", color=(0, 0, 0)))
        numbers = np.array([0, 2, 1, 7])[np.array(TRUTH)]
        found = gdl.evaluate(write(LABELS), write(numbers, "truth.tif", classes=own))
        assert found.counts is not None
        assert found.counts.tolist() == [[4, 2, 0], [0, 5, 0], [0, 0, 2]]

    def test_values_that_are_no_class_are_listed_together(self, write: Write) -> None:
        odd = write(np.where(np.array(TRUTH) == 3, 77, TRUTH), "truth.tif", classes=None, nodata=None)
        match = "values that are no class, '0', '77'; the classes are 1 field, 2 wood, 3 roof: say which"
        with pytest.raises(OptionError, match=match):
            gdl.evaluate(write(LABELS), odd, window=2)
        found = gdl.evaluate(write(LABELS), odd, classes={77: "roof"}, ignore=[0])
        assert found.counts is not None
        assert found.counts.tolist() == [[4, 2, 0], [0, 5, 0], [0, 0, 2]]

    def test_wide_integers(self, write: Write) -> None:
        truth = write(np.array(TRUTH) * 1000, "truth.tif", classes=None, dtype="int32")
        found = gdl.evaluate(write(LABELS), truth, classes={1000: 1, 2000: 2, 3000: 3})
        assert found.accuracy == 11 / 13

    def test_refusals(self, write: Write, tmp_path: Path) -> None:
        labels, truth = write(LABELS), write(TRUTH, "truth.tif")
        with pytest.raises(OptionError, match="a truth raster has no fields"):
            gdl.evaluate(labels, truth, class_field="kind")
        with pytest.raises(OptionError, match="the labels have no class 'water': choose among 1 field"):
            gdl.evaluate(labels, truth, classes={9: "water"})
        with pytest.raises(OptionError, match="is a raster: trace it first"):
            gdl.evaluate(labels, truth, objects=True)
        with pytest.raises(OptionError, match="given in pixels or in metres, not in both"):
            gdl.evaluate(labels, truth, distance_m=3, distance_px=2)
        with pytest.raises(OptionError, match=r"no pixel of .* has a truth"):
            gdl.evaluate(labels, write(TRUTH, "far.tif", transform=Affine.translation(999, 0) @ TRANSFORM))
        with pytest.raises(SceneError, match=r"labels are whole numbers .* holds 0\.5"):
            gdl.evaluate(labels, write(np.add(TRUTH, 0.5), "float.tif", dtype="float32"))
        with pytest.raises(SceneError, match="does not exist"):
            gdl.evaluate(labels, tmp_path / "none.tif")
        with pytest.raises(OptionError, match="leave out `labels_field=` and `like=`"):
            gdl.evaluate(labels, truth, like=truth)
        strange = write(np.where(np.array(LABELS) == 3, 9, LABELS), "strange.tif")
        with pytest.raises(OptionError, match=r"label raster .* no class, '9'; .*: correct its class names"):
            gdl.evaluate(strange, truth)


SQUARES = [("field", ground(0, 0, 3, 2)), ("wood", ground(3, 0, 4, 4)), ("wood", ground(2, 2, 3, 4)),
           ("roof", ground(0, 2, 2, 3))]  # fmt: skip


class TestPolygons:
    @pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:32632"])
    @pytest.mark.parametrize("suffix", ["gpkg", "geojson", "parquet", "shp.zip"])
    def test_the_same_truth_as_polygons(self, write: Write, tmp_path: Path, crs: str, suffix: str) -> None:
        if suffix == "geojson" and crs == "EPSG:32632":
            pytest.skip("GeoJSON is in degrees")
        frame, path = polygons(SQUARES).to_crs(crs), tmp_path / f"truth.{suffix}"
        frame.to_parquet(path) if suffix == "parquet" else frame.to_file(path)
        found = gdl.evaluate(write(LABELS), path, class_field="kind")
        assert found.counts is not None
        assert found.counts.tolist() == [[4, 2, 0], [0, 5, 0], [0, 0, 2]]

    def test_ids_in_the_field(self, write: Write) -> None:
        frame = polygons([({"field": 1, "wood": 2, "roof": 3}[kind], one) for kind, one in SQUARES])
        assert gdl.evaluate(write(LABELS), frame, class_field="kind").accuracy == 11 / 13

    def test_background(self, write: Write) -> None:
        frame = polygons([("roof", ground(0, 2, 2, 3))])
        alone = gdl.evaluate(write(LABELS), frame, truth_class="roof")
        assert alone.counts is not None
        assert alone.counts.sum() == 2
        assert "all of the truth is one class" in alone.table()
        found = gdl.evaluate(write(LABELS), frame, truth_class=3, background="field")
        assert found.counts is not None
        assert found.counts.tolist() == [[4, 7, 2], [0, 0, 0], [0, 0, 2]]

    def test_ignored_values(self, write: Write) -> None:
        frame = polygons([*SQUARES, ("cloud", ground(0, 0, 2, 2))])
        found = gdl.evaluate(write(LABELS), frame, class_field="kind", ignore=["cloud"])
        assert found.counts is not None
        assert found.counts.tolist() == [[0, 2, 0], [0, 5, 0], [0, 0, 2]]

    def test_refusals(self, write: Write) -> None:
        labels, frame = write(LABELS), polygons([*SQUARES, ("pond", ground(0, 3, 1, 4))])
        with pytest.raises(OptionError, match="give one of the two; the fields are 'kind'"):
            gdl.evaluate(labels, frame)
        with pytest.raises(OptionError, match="has no field 'class': choose the class field among 'kind'"):
            gdl.evaluate(labels, frame, class_field="class")
        with pytest.raises(OptionError, match="values in 'kind' that are no class, 'pond'; the classes are 1 field"):
            gdl.evaluate(labels, frame, class_field="kind")
        with pytest.raises(OptionError, match="no polygon among its 0 features"):
            gdl.evaluate(labels, frame.iloc[:0], class_field="kind")
        with pytest.raises(OptionError, match="has none; if you know it"):
            gdl.evaluate(labels, polygons(SQUARES, crs=None), class_field="kind")
        far = polygons([("wood", ground(100, 100, 110, 110))])
        with pytest.raises(OptionError, match=r"no pixel of .* has a truth"):
            gdl.evaluate(labels, far, class_field="kind")


class TestObjects:
    def test_a_raster_is_traced(self, write: Write, tmp_path: Path) -> None:
        array = np.ones((10, 12), dtype=np.uint8)
        array[1:4, 1:5], array[6:9, 1:4], array[1:3, 9:12] = 3, 3, 3
        truth = polygons([("roof", ground(1, 1, 5, 3)), ("roof", ground(6, 6, 8, 8)), ("roof", ground(9, 1, 15, 3))])
        found = gdl.evaluate(
            write(array), truth, class_field="kind", background="field", objects=True, statuses=tmp_path / "s.gpkg"
        )
        assert found.objects is not None
        roofs = found.objects[2]
        # the third is cut at the raster's edge, as the labels are
        assert (roofs.matched, roofs.missed, roofs.false, roofs.unjudged) == (2, 1, 1, 0)
        assert roofs.mean_iou == pytest.approx((8 / 12 + 1) / 2)
        assert roofs.f1 == 4 / 6
        statuses = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="labels")
        assert sorted(statuses.status[statuses.class_name == "roof"]) == ["false", "matched", "matched"]
        assert sorted(pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="truth").status) == [
            "matched",
            "matched",
            "missed",
        ]
        assert "objects F1" in found.table()

    def test_nobody_knows_what_lies_where_there_is_no_truth(self) -> None:
        labels = polygons([("roof", box(0, 0, 4, 4)), ("roof", box(50, 0, 54, 4))])
        truth = polygons([("roof", box(0, 0, 4, 3))])
        found = gdl.evaluate(labels, truth, labels_field="kind", class_field="kind")
        assert found.objects is not None
        assert (found.objects[0].matched, found.objects[0].false, found.objects[0].unjudged) == (1, 0, 1)
        found = gdl.evaluate(labels, truth, labels_field="kind", class_field="kind", background="roof")
        assert found.objects is not None
        assert (found.objects[0].matched, found.objects[0].false, found.objects[0].unjudged) == (1, 1, 0)
        cloud = polygons([*zip(["roof", "cloud"], [box(0, 0, 4, 3), box(45, 0, 60, 9)], strict=True)])
        found = gdl.evaluate(
            labels, cloud, labels_field="kind", class_field="kind", background="roof", ignore=["cloud"]
        )
        assert found.objects is not None
        assert (found.objects[0].false, found.objects[0].unjudged) == (0, 1)

    def test_a_layer_of_one_class_has_the_background_where_it_has_nothing(self, write: Write) -> None:
        labels = polygons([("roof", ground(0, 0, 4, 4)), ("roof", ground(6, 6, 8, 8))])
        truth = polygons([("roof", ground(0, 0, 4, 3)), ("roof", ground(50, 50, 54, 53))])
        like = write(np.ones((10, 10)))
        found = gdl.evaluate(
            labels, truth, labels_field="kind", class_field="kind", background="ground", like=like, objects=True
        )
        assert [one.name for one in found.classes] == ["roof", "ground"]
        assert found.counts is not None
        assert found.counts.tolist() == [[12, 0], [8, 80]]
        assert found.objects is not None  # what lies beyond the raster `like` is not looked for
        assert (found.objects[0].matched, found.objects[0].missed, found.objects[0].false) == (1, 0, 1)

    def test_average_precision_goes_by_the_confidence_of_polygons(self) -> None:
        labels = polygons([("roof", box(0, 0, 4, 4)), ("roof", box(20, 0, 24, 4)), ("roof", box(40, 0, 44, 4))])
        truth = polygons([("roof", box(0, 0, 4, 4)), ("roof", box(20, 0, 24, 3))])
        options = {"labels_field": "kind", "class_field": "kind", "background": "roof"}
        scored = {}
        for name, scores in {"sure": [90.0, 80.0, 70.0], "unsure": [70.0, 80.0, 90.0], "none": None}.items():
            given = labels if scores is None else labels.assign(confidence=scores)
            found = gdl.evaluate(given, truth, **options)  # type: ignore[arg-type]
            assert found.objects is not None
            (scored[name],) = found.objects
            assert scored[name].is_scored == (scores is not None)
            assert scored[name].pq == pytest.approx(1.75 / 2.5)
            (roofs,) = found.to_dict()["classes"]
            assert roofs["objects"]["pq"] == pytest.approx(roofs["objects"]["sq"] * roofs["objects"]["rq"])
            assert roofs["objects"]["ap_by_iou"]["0.5"] == scored[name].ap50
            said = "by their mean confidence" if scores is not None else "all are believed alike"
            assert said in found.table()
        assert scored["sure"].ap50 == 1
        assert scored["sure"].ap == pytest.approx((6 * 1 + 4 * 51 / 101) / 10)  # the second at an IoU of 0.75
        assert scored["unsure"].ap50 == pytest.approx(2 / 3)  # one of two at half of the recall, then two of three
        assert scored["none"].ap50 == pytest.approx(2 / 3)

    def test_average_precision_goes_by_the_raster_of_confidence(self, write: Write) -> None:
        array = np.ones((10, 12), dtype=np.uint8)
        array[1:4, 1:5], array[6:9, 1:4] = 3, 3
        sure = np.where(array == 3, 60, 90).astype(np.uint8)
        sure[1:4, 1:5] = 80
        truth = polygons([("roof", ground(1, 1, 5, 4))])
        found = gdl.evaluate(
            write(array),
            truth,
            class_field="kind",
            background="field",
            objects=True,
            confidence=write(sure, "sure.tif", classes=None, nodata=255),
        )
        assert found.objects is not None
        assert (found.objects[2].ap, found.objects[2].is_scored) == (1, True)

    def test_polygons_that_segment_wrote(self, write: Write, tmp_path: Path) -> None:
        labels = tmp_path / "labels.gpkg"
        gdl.vectorize(write(LABELS), labels)
        only = gdl.evaluate(labels, polygons(SQUARES), class_field="kind")
        assert only.counts is None
        assert math.isnan(only.mean_iou)
        assert [(one.id, one.name) for one in only.classes] == [(1, "field"), (3, "roof"), (2, "wood")]
        assert only.objects is not None
        assert [one.matched for one in only.objects] == [1, 0, 0]
        with pytest.raises(OptionError, match="only objects were compared"):
            only.save_report(tmp_path / "a.png")
        both = gdl.evaluate(labels, polygons(SQUARES), class_field="kind", like=write(LABELS))
        raster = gdl.evaluate(labels, write(TRUTH, "truth.tif"))
        for found in (both, raster):
            assert found.counts is not None
            assert found.counts.tolist() == [[4, 0, 2], [0, 2, 0], [0, 0, 5]]

    def test_refusals(self, tmp_path: Path, write: Write) -> None:
        with pytest.raises(OptionError, match=r"labels' polygons have no field 'class_name'.*among 'kind'"):
            gdl.evaluate(polygons(SQUARES), polygons(SQUARES), class_field="kind")
        with pytest.raises(OptionError, match="these labels are polygons: leave it out"):
            gdl.evaluate(polygons(SQUARES), write(TRUTH), labels_field="kind", confidence=write(TRUTH, "c.tif"))
        with pytest.raises(OptionError, match="on the grid of the truth raster: leave out `like=`"):
            gdl.evaluate(polygons(SQUARES), write(TRUTH), labels_field="kind", like=write(TRUTH))


class TestOutputs:
    def test_all_of_them(self, write: Write, tmp_path: Path) -> None:
        out = tmp_path / "out"
        out.mkdir()
        found = gdl.evaluate(
            write(LABELS), write(TRUTH, "truth.tif"), json=out / "a.json", report=out / "a.png",
            confidence=write(np.full((4, 4), 80), "confidence.tif", nodata=255, classes=None),
        )  # fmt: skip
        assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.png"]
        facts = json.loads((out / "a.json").read_text())
        assert facts == json.loads(found.to_json())
        assert facts["confusion"] == [[4, 2, 0], [0, 5, 0], [0, 0, 2]]
        assert facts["classes"][2]["boundary_error"]["mean"] == 0
        assert facts["calibration"]["accuracy"][0] is None  # JSON knows no NaN
        assert (out / "a.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(OutputError, match="exists"):
            gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), json=out / "a.json")

    def test_nothing_is_left_of_a_failure(self, write: Write, tmp_path: Path) -> None:
        out = tmp_path / "out"
        out.mkdir()
        odd = write(np.array(TRUTH) + 50, "truth.tif", classes=None)
        with pytest.raises(OptionError, match="no class"):
            gdl.evaluate(write(LABELS), odd, json=out / "a.json", report=out / "a.png")
        assert not list(out.iterdir())

    def test_a_raster_that_says_nothing_of_its_classes(self, write: Write) -> None:
        found = gdl.evaluate(write(LABELS, classes=None), write(TRUTH, "truth.tif", classes=None))
        assert [one.name for one in found.classes] == ["1", "2", "3"]
        assert found.accuracy == 11 / 13

    def test_progress_is_told_and_may_cancel(self, write: Write) -> None:
        told: list[tuple[int, int]] = []
        gdl.evaluate(write(LABELS), write(TRUTH, "truth.tif"), window=2, progress=lambda *one: told.append(one))
        assert told == [(4, 16), (8, 16), (12, 16), (16, 16)]


def test_a_message_lists_no_more_classes_than_fit() -> None:
    classes = [LabelClass(id=number, name=f"c{number}", color=(0, 0, 0)) for number in range(1, 256)]
    assert classes_text(classes[:2]) == "1 c1, 2 c2"
    assert classes_text(classes).endswith("19 c19, 20 c20 and 235 more")
