"""`geodeeplab chips`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.windows import Window

import geodeeplab as gdl

Run = Callable[..., Any]
MakeRaster = Callable[..., Path]


@pytest.fixture
def image(make_raster: MakeRaster, blocks: Callable[..., Any]) -> Path:
    """A scene of 100 × 90 m."""
    return make_raster(blocks(90, 100), "image.tif", photometric="rgb")


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    """A field and a roof in the scene, in degrees."""
    boxes = [shapely.box(500_000, 4_999_960, 500_050, 5_000_000), shapely.box(500_060, 4_999_920, 500_080, 4_999_930)]
    frame = gpd.GeoDataFrame({"kind": ["field", "roof"]}, geometry=boxes, crs="EPSG:32633")
    path = tmp_path / "truth.gpkg"
    frame.to_crs("EPSG:4326").to_file(path)
    return path


def test_chips_of_a_scene_and_polygons(run: Run, image: Path, polygons: Path, out: Path) -> None:
    ran = run("chips", image, "--labels", polygons, "--class-field", "kind", "-o", out / "chips", "--tile-size", 50)
    assert (ran.status, ran.err) == (0, "")
    (line,) = ran.out.splitlines()
    assert line.startswith(f"{out / 'chips'}: 2 chips of 50 × 50 px in ")
    assert line.endswith("s, 2 left out (field 90.9%, roof 9.1%)")
    assert {path.name for path in (out / "chips").iterdir()} == {
        "images", "labels", "map.txt", "stats.txt", "esri_model_definition.emd", "esri_accumulated_stats.json",
    }  # fmt: skip
    folder = gdl.open_chip_folder(out / "chips")
    assert [one.name for one in folder.classes] == ["field", "roof"]
    field, roof = (scene.read(Window(0, 0, 50, 50)).labels for scene in folder.scenes)
    assert (field[:40] == 0).all()
    assert (field[40:] == 255).all()
    assert ((roof == 1).sum(), (roof == 255).sum()) == (200, 2300)


def test_options_reach_the_run(run: Run, image: Path, make_raster: MakeRaster, out: Path) -> None:
    labels = make_raster(np.repeat(np.arange(90, dtype=np.uint8) // 30 + 1, 100).reshape(1, 90, 100), "labels.tif")
    ran = run(
        *("chips", image, image, "--labels", labels, "--labels", labels, "-o", out / "chips", "--tile-size", 32),
        *("--stride", 16, "--rotation", 180, "--min-labelled", 0.9, "--format", "pairs", "--image-format", "png"),
        *("--classes", "a,b,c", "--bands", "3", "--json"),
    )
    assert ran.status == 0
    (warning,) = ran.err.splitlines()
    assert warning.startswith("warning: these chips share ground (a stride of 16 is less")
    facts = json.loads(ran.out)
    assert (facts["stride"], facts["angles"], facts["layout"]) == (16, [0.0, 180.0], "pairs")
    assert facts["chips"] == 2 * 2 * 4 * 5
    assert list(facts["class_pixels"]) == ["a", "b", "c"]
    assert facts["bands"] == ["blue"]
    folder = gdl.open_chip_folder(out / "chips")
    assert len(folder.scenes) == facts["chips"]
    assert [one.name for one in folder.classes] == ["a", "b", "c"]
    assert [band.name for band in folder.scenes[0].bands] == ["blue"]


def test_values_of_no_class_may_be_ignored(run: Run, image: Path, polygons: Path, out: Path) -> None:
    told = ("--class-field", "kind", "--classes", "field", "--ignore-unknown", "--tile-size", 50)
    ran = run("chips", image, "--labels", polygons, "-o", out / "chips", *told)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.strip().endswith("3 left out (field 100.0%)")


def test_what_is_refused_leaves_nothing(
    expect_refused: Callable[..., None], image: Path, polygons: Path, out: Path
) -> None:
    args = ["chips", image, "--labels", polygons, "-o", out / "chips"]
    expect_refused(*args, "--tile-size", 0, match="--tile-size is at least 1 pixel")
    expect_refused(*args, "--class-field", "color", match="no field 'color'")
    expect_refused(*args, "--class-field", "kind", "--classes", "field", match="'roof' in 1 polygon; the classes are")
    expect_refused(*args, "--stride", 600, match=r"--stride is 1 to --tile-size \(512\)")
    expect_refused(*args, "--min-labelled", 0.99, match="no chip is left to write, 1 have too few labelled pixels")
    expect_refused(*args, "--bands", "nir", match="has no band 'nir'")
    expect_refused("chips", image.with_name("no.tif"), *args[2:], match="no.tif' does not exist")
    expect_refused("chips", image, "-o", out / "chips", match="Missing option '--labels'", status=2)
    (out / "chips").mkdir()
    (out / "chips" / "mine.txt").write_text("mine")
    expect_refused(*args, match="is not empty: pass --overwrite")
    expect_refused(*args, "--overwrite", match=r"holds what was not written here \(mine.txt\)")


def test_a_folder_is_replaced_on_request(run: Run, image: Path, polygons: Path, out: Path) -> None:
    args = ["chips", image, "--labels", polygons, "-o", out / "chips", "--tile-size"]
    assert run(*args, 64).status == 0
    ran = run(*args, 128, "--overwrite")
    assert ran.status == 0
    assert len(gdl.open_chip_folder(out / "chips").scenes) == 1
    assert [path.name for path in out.iterdir()] == ["chips"]
