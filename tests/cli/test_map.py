from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

import geodeeplab as gdl
from tests.cli.conftest import Ran, check_refusal

MakeRaster = Callable[..., Path]
Run = Callable[..., Ran]


@pytest.fixture
def scene(make_raster: MakeRaster, blocks: Callable[..., np.ndarray]) -> Path:
    return make_raster(blocks(130, 140), "scene.tif")


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.gpkg"
    box = shapely.box(500_010, 4_999_950, 500_020, 4_999_960)
    gpd.GeoDataFrame({"kind": ["a"]}, geometry=[box], crs="EPSG:32633").to_file(path)
    return path


def test_a_map_of_files(run: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.html"
    ran = run("map", scene, polygons, "--class-field", "kind", "--draw", "water, road", "-o", path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"{path}: 0.")
    assert '"fileName":"scene-polygons.geojson"' in path.read_text()


def test_maps_that_cannot_be(run: Run, scene: Path, polygons: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.html"
    check_refusal(run("map", "-o", out), match="give at least one")
    check_refusal(run("map", scene, scene, "-o", out), match="both look like a scene: --scene")
    check_refusal(run("map", polygons, "--class-field", "x", "-o", out), match="no field 'x': choose one of kind")
    check_refusal(run("map", polygons, "-o", tmp_path / "map.pdf"), match="use .html or .htm")
    assert not out.exists()


def test_segment_gives_a_map(run: Run, scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "labels.tif", tmp_path / "map.html"
    ran = run("segment", scene, "--label-raster", out, "--map", path, "--model", tiny_model)
    assert ran.status == 0, ran.err
    page = path.read_text()
    assert '"kind":"scene"' in page
    assert '"kind":"labels"' in page
    check_refusal(
        run("segment", scene, "--confidence", tmp_path / "c.tif", "--map", path, "--model", tiny_model),
        match="--map shows labels or polygons",
        status=2,
    )
    check_refusal(
        run("segment", scene, "--label-raster", tmp_path / "b.tif", "--map", path, "--model", tiny_model),
        match="exists: pass --overwrite",
    )


def test_results_show_themselves(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = gdl.segment(scene, tmp_path / "p.gpkg", label_raster=tmp_path / "l.tif", model=tiny_model)
    assert str(done._repr_html_()).startswith("<iframe")
    judged = gdl.evaluate(tmp_path / "l.tif", tmp_path / "p.gpkg", class_field="class_name")
    assert '"isOutline":true' in judged.explore().to_html()
    shown = judged._repr_html_()
    assert shown.startswith("<pre>")
    assert "<iframe" in shown
    (tmp_path / "l.tif").unlink()
    assert done._repr_html_() is None
    assert judged._repr_html_().endswith("</pre>")  # the numbers are there still
