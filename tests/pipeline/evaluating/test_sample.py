"""Random points of a map, and their way back into `evaluate`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.pipeline.evaluating import sample as module
from geodeeplab.raster import LabelClass, classes_tag

MakeRaster = Callable[..., Path]
CLASSES = [LabelClass(id=i, name=name, color=(i, i, i)) for i, name in ((1, "field"), (2, "wood"), (5, "lake"))]


@pytest.fixture
def labels(make_raster: MakeRaster) -> Path:
    """Fields, a tenth of woods, ten pixels of a lake, and a row without a label."""
    values = np.where(np.random.default_rng(1).random((80, 60)) < 0.1, 2, 1).astype(np.uint8)
    values[0], values[5, 5:15] = 0, 5
    path = make_raster(values[None], "labels.tif", nodata=0)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(**classes_tag(CLASSES))
    return path


def values_at(labels: Path, points: gpd.GeoDataFrame) -> list[int]:
    with rasterio.open(labels) as src:
        return [int(one[0]) for one in src.sample(zip(points.geometry.x, points.geometry.y, strict=True))]


def test_points_lie_on_their_classes(labels: Path, tmp_path: Path) -> None:
    design = gdl.sample(labels, tmp_path / "p.gpkg", total=200, least=30)
    points = gpd.read_file(tmp_path / "p.gpkg", layer="sample")
    assert points.class_id.tolist() == values_at(labels, points)
    assert points.class_name.value_counts().to_dict() == {"field": 160, "wood": 30, "lake": 10}
    assert design.sizes.tolist() == [160, 30, 10]
    assert points.point.tolist() == list(range(1, 201))
    assert len(set(zip(points.geometry.x, points.geometry.y, strict=True))) == 200
    assert points.truth.isna().all()
    assert points.class_id.iloc[:100].nunique() == 3  # shuffled
    assert design.to_dict()["classes"][2] == {"id": 5, "name": "lake", "pixels": 10, "points": 10}


def test_the_seed_alone_counts(labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(name: str, seed: int) -> list[str]:
        gdl.sample(labels, tmp_path / name, total=150, seed=seed)
        return list(gpd.read_file(tmp_path / name, layer="sample").geometry.to_wkt())

    one = drawn("a.gpkg", 0)
    monkeypatch.setattr(module, "BAND_ROWS", 7)
    assert drawn("b.gpkg", 0) == one
    assert drawn("c.gpkg", 1) != one


def test_blind_points_say_nothing(labels: Path, tmp_path: Path) -> None:
    gdl.sample(labels, tmp_path / "p.gpkg", total=50, least=5, blind=True)
    assert list(gpd.read_file(tmp_path / "p.gpkg", layer="sample").columns) == ["point", "truth", "geometry"]


def test_the_way_back(labels: Path, tmp_path: Path) -> None:
    """A tenth of the fields are woods in truth: the estimate finds the woods' area, the map does not."""
    gdl.sample(labels, tmp_path / "p.gpkg", total=1500, seed=3)
    points = gpd.read_file(tmp_path / "p.gpkg", layer="sample")
    points["truth"] = points.class_name
    fields = np.flatnonzero(points.class_name == "field")
    points.loc[fields[::10], "truth"] = "wood"
    points.loc[fields[:3], "truth"] = None
    points = points.to_crs("EPSG:4326")
    with pytest.warns(GeoDeepLabWarning, match="3 of .* points left out"):
        found = gdl.evaluate(labels, points, class_field="truth", is_sample=True)
    assert found.counts is not None
    assert found.counts.sum() == len(points) - 3
    estimate = found.area_estimate
    assert estimate is not None
    assert estimate.accuracy == pytest.approx(0.91, abs=0.01)
    assert 0.005 < estimate.accuracy_margin < 0.03
    with rasterio.open(labels) as src:
        fields_m2 = (src.read(1) == 1).sum()
    assert estimate.adjusted[1] - estimate.mapped[1] == pytest.approx(0.1 * fields_m2, rel=0.05)
    assert np.isnan(found.mean_boundary_iou)
    assert "boundary IoU  of" not in found.table()
    assert json.loads(found.to_json())["area_weighted_accuracy"]["accuracy"] == estimate.accuracy


def test_polygons_are_sampled_as_the_raster_that_they_were_traced_from(labels: Path, tmp_path: Path) -> None:
    layer = tmp_path / "polygons.gpkg"
    gdl.vectorize(labels, layer)
    designs = [
        gdl.sample(labels, tmp_path / "a.gpkg", total=120, least=10),
        gdl.sample(layer, tmp_path / "b.gpkg", total=120, least=10, like=labels),
    ]
    of_raster, of_layer = (
        sorted((one["id"], one["name"], one["pixels"]) for one in design.to_dict()["classes"]) for design in designs
    )
    assert of_layer == of_raster
    points = gpd.read_file(tmp_path / "b.gpkg", layer="sample")
    assert points.class_id.tolist() == values_at(labels, points)
    points["truth"] = np.where(points.point % 7 == 0, "wood", points.class_name)
    by_name = []
    cases: list[tuple[Path, dict[str, Any]]] = [(labels, {}), (layer, {"like": labels})]
    for map_, told in cases:
        found = gdl.evaluate(map_, points, class_field="truth", is_sample=True, **told)
        assert found.area_estimate is not None
        one = found.area_estimate
        names = [each.name for each in found.classes]
        by_name.append({name: (one.adjusted[i], one.margin[i]) for i, name in enumerate(names)})
    for name, numbers in by_name[0].items():
        assert by_name[1][name] == pytest.approx(numbers)


def test_ground_beside_polygons_can_be_a_class(labels: Path, tmp_path: Path) -> None:
    """Of 200 points on woods a fifth lies on fields, and of those beside them none is missed."""
    layer = tmp_path / "woods.gpkg"
    gdl.vectorize(labels, layer)
    woods = gpd.read_file(layer, layer="landcover").query("class_name == 'wood'").rename(columns={"class_name": "kind"})
    woods[["kind", "geometry"]].to_file(layer, layer="woods", engine="pyogrio")
    woods = gpd.read_file(layer, layer="woods")
    told: dict[str, Any] = {"labels_field": "kind", "like": labels, "background": "other"}
    design = gdl.sample(woods, tmp_path / "p.gpkg", total=400, least=200, **told)
    assert [one.name for one in design.classes] == ["wood", "other"]
    with rasterio.open(labels) as src:
        count = int((src.read(1) == 2).sum())
    assert design.pixels.tolist() == [count, 80 * 60 - count]
    points = gpd.read_file(tmp_path / "p.gpkg", layer="sample")
    points["truth"] = points.class_name
    points.loc[points.index[points.class_name == "wood"][:40], "truth"] = "other"
    found = gdl.evaluate(woods, points, class_field="truth", is_sample=True, **told)
    assert found.counts is not None
    assert found.counts.tolist() == [[160, 0], [40, 200]]
    estimate = found.area_estimate
    assert estimate is not None
    assert estimate.adjusted[0] == pytest.approx(0.8 * estimate.mapped[0])


def test_within_an_area(labels: Path, tmp_path: Path) -> None:
    with rasterio.open(labels) as src:
        left, bottom, right, top = src.bounds
    from shapely import box

    area = box(left, bottom, (left + right) / 2, top)
    design = gdl.sample(labels, tmp_path / "p.gpkg", total=60, least=5, aoi=area)
    points = gpd.read_file(tmp_path / "p.gpkg", layer="sample")
    assert (points.geometry.x < (left + right) / 2).all()
    assert design.pixels.sum() == 79 * 30


def test_refusals(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="name a raster on whose pixels it is burned"):
        gdl.sample(tmp_path / "a.gpkg", tmp_path / "p.gpkg")
    with pytest.raises(OptionError, match="has its own grid and classes"):
        gdl.sample(labels, tmp_path / "p.gpkg", like=labels)
    with pytest.raises(OptionError, match="has its own grid and classes"):
        gdl.sample(labels, tmp_path / "p.gpkg", background="other")
    with pytest.raises(OptionError, match="has its own grid and no fields"):
        gdl.sample(labels, tmp_path / "p.gpkg", labels_field="kind")
    with pytest.raises(OptionError, match="'sea', which is no class"):
        gdl.sample(labels, tmp_path / "p.gpkg", expected={"sea": 0.5})
    gdl.sample(labels, tmp_path / "p.gpkg", total=20, least=5)
    points = gpd.read_file(tmp_path / "p.gpkg", layer="sample")
    with pytest.raises(OptionError, match="no point with a class"):
        gdl.evaluate(labels, points, class_field="truth")
    points["truth"] = "wood"
    with pytest.raises(OptionError, match="has points: leave objects out"):
        gdl.evaluate(labels, points, class_field="truth", objects=True)
    assert not list(tmp_path.glob("*.tmp"))
