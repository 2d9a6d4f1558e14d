"""The label raster of the kinds of change, and areas of change by a sample of it."""

import warnings
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.pipeline.changing import inputs, transitions
from geodeeplab.pipeline.changing.kinds import number_kinds
from geodeeplab.raster import LabelClass, open_scene, read_classes
from tests.examples import examples
from tests.pipeline.changing.conftest import CLASSES, Labels, fields

Write = Callable[..., Path]


def read(path: Path) -> tuple[Labels, dict[int, str]]:
    """Give the labels (H, W), and the names of the classes by id."""
    with open_scene(path, allow_palette=True) as scene:
        names = {one.id: one.name for one in read_classes(scene)}
    with rasterio.open(path) as src:
        return src.read(1), names


def test_a_class_for_each_kind_and_unchanged_ground_by_class(write: Write, tmp_path: Path) -> None:
    before, after = fields()
    path = tmp_path / "changes.tif"
    found = gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", label_raster=path)
    assert found.label_raster_path == path
    labels, names = read(path)
    assert names == {
        1: "field", 2: "wood", 3: "roof",
        4: "field → wood", 5: "field → roof", 6: "wood → field", 7: "wood → roof", 8: "roof → field", 9: "roof → wood",
    }  # fmt: skip
    known = (before > 0) & (after > 0)
    assert (labels[known & (before == after)] == before[known & (before == after)]).all()
    assert (labels[5:15, 5:15] == 5).all()
    assert (labels[:, 34:40] == 4).all()
    assert labels[0, 0] == labels[0, 1] == 0
    with rasterio.open(path) as src:
        assert (src.dtypes, src.nodata, src.colormap(1)[5][:3]) == (("uint8",), 0, (3, 0, 0))
        assert src.colormap(1)[1][:3] == (170, 170, 170)  # pale, as what did not change
    assert "<Category>field → roof</Category>" in Path(f"{path}.aux.xml").read_text(encoding="utf-8")
    layer = gpd.read_file(tmp_path / "c.gpkg", layer="landcover")
    burned = rasterize(zip(layer.geometry, layer.class_id, strict=True), labels.shape, transform=src.transform)
    assert (burned == np.where(labels > 3, labels, 0)).all()  # ids of polygons and raster are the same


def test_what_a_shifted_edge_explains_is_unchanged(write: Write, tmp_path: Path) -> None:
    before, after = fields()
    path = tmp_path / "changes.tif"
    gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", label_raster=path, shift_px=6)
    labels, _ = read(path)
    assert (labels[:, 34:40] == 1).all()
    assert (labels[5:15, 5:15] == 5).all()


@pytest.mark.parametrize(("sieve_labels", "left"), [(False, 5), (True, 1)])
def test_the_minimum_area_counts_if_wanted(write: Write, tmp_path: Path, sieve_labels: bool, left: int) -> None:
    before, after = fields()
    after[30, 10] = 3
    after[8, 8] = 1  # within the house
    path = tmp_path / "changes.tif"
    options = gdl.PolygonOptions(min_area_px=5)
    gdl.change(
        write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", options,
        label_raster=path, sieve_labels=sieve_labels,
    )  # fmt: skip
    labels, _ = read(path)
    assert labels[30, 10] == left
    assert labels[8, 8] == (5 if sieve_labels else 1)
    assert (labels[20:30, 41:] == 2).all()
    assert labels[0, 0] == 0


@settings(max_examples=examples(10), deadline=None)
@given(seed=st.integers(0, 1000), shift_px=st.sampled_from([0.0, 1.5]), minimum=st.sampled_from([None, 4.0]))
def test_the_raster_counts_what_the_matrix_does_however_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shift_px: float, minimum: float | None
) -> None:
    folder, random = tmp_path_factory.mktemp("law"), np.random.default_rng(seed)
    for name in ("a", "b"):
        labels = np.kron(random.integers(0, 4, (5, 6)), np.ones((4, 3))).astype(np.uint8)
        labels[0, :2] = 1
        _write_plain(folder / f"{name}.tif", labels)
    written = []
    for rows in (512, 7):
        with pytest.MonkeyPatch.context() as patch:
            for module in (transitions, inputs):
                patch.setattr(module, "BAND_ROWS", rows)
            path = folder / f"changes-{rows}.tif"
            options = gdl.PolygonOptions(min_area_px=minimum)
            found = gdl.change(
                folder / "a.tif", folder / "b.tif", folder / f"c-{rows}.gpkg", options,
                label_raster=path, shift_px=shift_px,
            )  # fmt: skip
            written.append(path.read_bytes())
    assert written[0] == written[1]
    kinds = number_kinds(found.counts, found.classes)
    pixels = np.bincount(read(path)[0].ravel(), minlength=256)
    count = len(found.classes)
    assert (pixels[kinds.table[:count, :count]][found.counts > 0] == found.counts[found.counts > 0]).all()
    assert pixels[1:].sum() == found.counts.sum()


def _write_plain(path: Path, labels: Labels, side_m: float = 1.0) -> None:
    """Write a map on Europe's equal-area grid."""
    height, width = labels.shape
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "crs": "EPSG:3035"}
    transform = Affine(side_m, 0, 4_321_000, 0, -side_m, 3_210_000)
    with rasterio.open(path, "w", height=height, width=width, transform=transform, **profile) as dst:
        dst.write(labels, 1)


# Table 8 of Olofsson et al. 2014: what was found (forest lost, gained, kept, other) for each stratum, by row.
OLOFSSON = {
    "1 → 2": {"1 → 2": 66, "1": 5, "2": 4},
    "2 → 1": {"2 → 1": 55, "1": 8, "2": 12},
    "1": {"1 → 2": 1, "1": 153, "2": 11},
    "2": {"1 → 2": 2, "2 → 1": 1, "1": 9, "2": 313},
}
MAPPED = (200, 150, 3200, 6450)
"""A thousandth of the paper's pixels, which are then as much larger."""


def test_the_papers_areas_of_change(tmp_path: Path) -> None:
    side_m = 30 * np.sqrt(1000)
    for name, values in (("2000", [1, 2, 1, 2]), ("2010", [2, 1, 1, 2])):
        labels = np.repeat(np.array(values, dtype=np.uint8), MAPPED).reshape(100, 100)
        _write_plain(tmp_path / f"{name}.tif", labels, side_m)
    changes, points = tmp_path / "changes.tif", tmp_path / "points.gpkg"
    gdl.change(tmp_path / "2000.tif", tmp_path / "2010.tif", tmp_path / "c.gpkg", label_raster=changes)
    gdl.sample(changes, points, total=700, least=75)
    interpreted = gpd.read_file(points, layer="sample")
    for stratum, counts in OLOFSSON.items():
        rows = interpreted.index[interpreted.class_name == stratum]
        truths = [name for name, count in counts.items() for _ in range(count)]
        interpreted.loc[rows[: len(truths)], "truth"] = truths
    with pytest.warns(GeoDeepLabWarning, match="points left out"):  # those beyond the paper's number
        found = gdl.evaluate(changes, interpreted, class_field="truth", is_sample=True)
    estimate = found.area_estimate
    assert estimate is not None
    index = [one.name for one in found.classes].index("1 → 2")
    assert estimate.mapped[index] / 1e4 == pytest.approx(18_000, rel=1e-4)
    assert estimate.adjusted[index] / 1e4 == pytest.approx(21_158, abs=3)  # the paper's section 5.2.2
    assert estimate.margin[index] / 1e4 == pytest.approx(6_158, abs=3)
    assert estimate.accuracy == pytest.approx(0.95, abs=0.005)


def test_areas_by_hand(write: Write, tmp_path: Path) -> None:
    """Of 100 pixels mapped as new woods, 10 are looked at, and 2 are fields; of 300 fields 10, of which 1 is new wood.

    New woods: 100 · 0.8 + 300 · 0.1 = 110 m²; the variance is 100² · 0.8 · 0.2 / 9 + 300² · 0.1 · 0.9 / 9.
    """
    before, after = np.ones((20, 20), dtype=np.uint8), np.ones((20, 20), dtype=np.uint8)
    after[:, :5] = 2
    changes, points = tmp_path / "changes.tif", tmp_path / "points.gpkg"
    gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", label_raster=changes)
    gdl.sample(changes, points, total=20, least=10)
    interpreted = gpd.read_file(points, layer="sample")
    assert interpreted.class_name.value_counts().to_dict() == {"field": 10, "field → wood": 10}
    interpreted["truth"] = interpreted.class_name
    new, old = (interpreted.index[interpreted.class_name == name] for name in ("field → wood", "field"))
    interpreted.loc[new[:2], "truth"] = "field"
    interpreted.loc[old[:1], "truth"] = "field → wood"
    found = gdl.evaluate(changes, interpreted, class_field="truth", is_sample=True)
    estimate = found.area_estimate
    assert estimate is not None
    index = [one.name for one in found.classes].index("field → wood")
    pixel_m2 = estimate.mapped[index] / 100
    assert estimate.adjusted[index] / pixel_m2 == pytest.approx(110)
    error = np.sqrt(100**2 * 0.8 * 0.2 / 9 + 300**2 * 0.1 * 0.9 / 9)
    assert estimate.margin[index] / pixel_m2 == pytest.approx(1.96 * error, rel=1e-4)


def test_the_truth_may_be_a_kind_that_was_not_mapped(write: Write, tmp_path: Path) -> None:
    before, after = np.ones((20, 20), dtype=np.uint8), np.ones((20, 20), dtype=np.uint8)
    after[:, :5] = before[:3, :9] = 2
    changes, points = tmp_path / "changes.tif", tmp_path / "points.gpkg"
    gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", label_raster=changes, shift_px=9)
    gdl.sample(changes, points, total=20, least=5)
    interpreted = gpd.read_file(points, layer="sample")
    interpreted["truth"] = interpreted.class_name
    interpreted.loc[interpreted.index[interpreted.class_name == "field"][0], "truth"] = "wood → field"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gdl.evaluate(changes, interpreted, class_field="truth", is_sample=True)
    assert found.area_estimate is not None
    assert found.area_estimate.adjusted[[one.name for one in found.classes].index("wood → field")] > 0


def test_ids_are_kept_and_kinds_take_what_is_left() -> None:
    names = tuple(LabelClass(id=i, name=str(i), color=(0, 0, 0)) for i in (10, 3, 255, 0))
    counts = np.array([[5, 1, 0, 0], [0, 0, 0, 0], [0, 0, 7, 0], [0, 0, 0, 0]])
    kinds = number_kinds(counts, names)
    assert {one.name: one.id for one in kinds.classes} == {
        "10": 10, "3": 3, "255": 1, "0": 2,
        "10 → 3": 4, "10 → 255": 5, "3 → 10": 6, "3 → 255": 7, "255 → 10": 8, "255 → 3": 9,
    }  # fmt: skip
    assert [one.name for one in kinds.changes] == ["10 → 3"]


def test_where_ids_are_short_kinds_that_occur_have_one() -> None:
    names = tuple(LabelClass(id=i, name=str(i), color=(0, 0, 0)) for i in range(1, 31))
    some = np.eye(30, dtype=np.int64)
    some[0, 1:] = 1
    kinds = number_kinds(some, names)
    assert len(kinds.classes) == 30 + 29
    assert len({one.id for one in kinds.classes}) == 59
    with pytest.raises(OptionError, match="30 classes and 870 kinds of change, up to 254 fit together"):
        number_kinds(np.ones((30, 30), dtype=np.int64), names)


def test_all_or_nothing(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = fields()
    a, b, folder = write(before, "a.tif"), write(after, "b.tif"), tmp_path / "out"
    folder.mkdir()

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("geodeeplab.pipeline.changing.writing.write_label_cog", fail)
    with pytest.raises(OSError, match="no space left"):
        gdl.change(a, b, folder / "c.gpkg", label_raster=folder / "c.tif", json=folder / "c.json")
    assert not list(folder.iterdir())


def test_classes_of_the_maps_stay_as_they_are(write: Write, tmp_path: Path) -> None:
    before, after = fields()
    found = gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg")
    assert found.classes == tuple(CLASSES)
    assert found.label_raster_path is None
