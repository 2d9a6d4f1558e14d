"""`geodeeplab evaluate`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

from geodeeplab.raster import LabelClass, classes_tag

Run = Callable[..., Any]
MakeRaster = Callable[..., Path]
CLASSES = [LabelClass(id=1, name="field", color=(220, 200, 90)), LabelClass(id=2, name="wood", color=(30, 110, 50))]


@pytest.fixture
def labels(make_raster: MakeRaster) -> Path:
    import rasterio

    path = make_raster(np.array([[[1, 1, 2, 2], [1, 1, 2, 2]]], dtype=np.uint8), "labels.tif", nodata=0)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(**classes_tag(CLASSES))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    x, y = 500_000, 5_000_000
    shapes = [box(x, y - 2, x + 1, y), box(x + 1, y - 2, x + 4, y)]
    frame = gpd.GeoDataFrame({"use": ["Field", "forest"]}, geometry=shapes, crs="EPSG:32633")
    frame.to_file(tmp_path / "truth.gpkg")
    return tmp_path / "truth.gpkg"


def test_a_table(run: Run, labels: Path, truth: Path, out: Path) -> None:
    ran = run("evaluate", labels, truth, "--class-field", "use", "--map", "forest=wood", "--report", out / "a.png")
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].split()[:3] == ["class", "IoU", "precision"]
    assert lines[1].split()[:4] == ["field", "0.500", "0.500", "1.000"]
    assert lines[2].split()[:4] == ["wood", "0.667", "1.000", "0.667"]
    assert lines[3].split()[:2] == ["mean", "0.583"]
    assert "accuracy" in lines[4]
    assert [path.name for path in out.iterdir()] == ["a.png"]


def test_json(run: Run, labels: Path, truth: Path, out: Path) -> None:
    ran = run(
        "evaluate", labels, truth, "--class-field", "use", "--map", "forest=2", "--objects", "--statuses",
        out / "s.gpkg", "--json",
    )  # fmt: skip
    facts = json.loads(ran.out)
    assert facts["confusion"] == [[2, 0], [2, 4]]
    assert facts["classes"][1]["objects"]["matched"] == 1
    assert [path.name for path in out.iterdir()] == ["s.gpkg"]


def test_refusals(expect_refused: Callable[..., None], labels: Path, truth: Path, out: Path) -> None:
    report = ["--report", out / "a.png"]
    expect_refused("evaluate", labels, truth, *report, match="give one of the two; the fields are 'use'")
    expect_refused(
        "evaluate", labels, truth, "--class-field", "use", *report, match="no class, 'forest'; the classes are"
    )
    expect_refused(
        "evaluate", labels, truth, "--class-field", "use", "--map", "forest", match="not VALUE=CLASS: see", status=2
    )
    expect_refused("evaluate", labels, out / "none.tif", *report, match="does not exist: check the path")
    expect_refused("evaluate", labels, truth, "--report", out / "a.pdf", match="has the suffix '.pdf'")
