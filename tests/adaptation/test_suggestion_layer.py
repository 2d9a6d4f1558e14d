"""Suggested windows as layers: squares on the ground with their reasons, and a style that QGIS takes."""

import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.adaptation.suggestion_layer import write_suggestions
from geodeeplab.adaptation.suggestions import SuggestedWindow
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.grid import Grid

CLASSES = ["road", "land", "roof"]
UTM = CRS.from_epsg(32633)


def grid(crs: CRS | None = UTM, left: float = 500_000) -> Grid:
    return Grid(shape=(200, 300), transform=Affine(0.5, 0, left, 0, -0.5, 4_000_000), crs=crs)


def window(rank: int, scene: int = 0) -> SuggestedWindow:
    return SuggestedWindow(
        rank=rank,
        scene=scene,
        row=64,
        col=128,
        shape=(64, 32),
        doubt=0.3,
        class_1=0,
        class_2=2,
        probability_1=0.48,
        probability_2=0.41,
        disagreement=0.7,
    )


def write(path: Path, windows: list[SuggestedWindow], *, crs: CRS | None = UTM, overwrite: bool = False) -> Path:
    return write_suggestions(
        windows, path, grids=[grid(crs)], scenes=["scene.tif"], classes=CLASSES, overwrite=overwrite
    )


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".fgb", ".geojson"])
def test_every_format_holds_squares_and_reasons(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"next{suffix}", [window(1), window(2)])
    found = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path, layer=0)
    found = found.sort_values("rank")
    assert found["rank"].tolist() == [1, 2]
    assert found["reason"][0] == "road (48%) or roof (41%)? the ensemble disagrees on 70% of it"
    assert found[["class_1", "class_2", "scene"]].iloc[0].tolist() == ["road", "roof", "scene.tif"]
    assert found[["probability_1", "probability_2"]].iloc[0].tolist() == [0.48, 0.41]
    assert list(tmp_path.iterdir()) == [path]
    projected = found.to_crs(32633)
    assert np.allclose(projected.total_bounds, [500_064, 3_999_936, 500_080, 3_999_968], atol=1e-3)


def test_qgis_finds_outlines_labelled_with_the_rank(tmp_path: Path) -> None:
    path = write(tmp_path / "next.gpkg", [window(1)])
    with closing(sqlite3.connect(path)) as database:
        ((table, qml, is_default),) = database.execute("SELECT f_table_name, styleQML, useAsDefault FROM layer_styles")
    root = ET.fromstring(qml)
    assert (table, is_default, root.get("labelsEnabled")) == ("suggestions", 1, "1")
    style = {one.get("name"): one.get("value") for one in root.iterfind("renderer-v2/symbols/symbol/layer/Option/*")}
    assert style["style"] == "no"
    text = root.find("labeling/settings/text-style")
    assert text is not None
    assert text.get("fieldName") == "rank"


def test_scenes_of_two_systems_are_in_that_of_the_first(tmp_path: Path) -> None:
    other = grid(CRS.from_epsg(32634), left=0)
    path = write_suggestions(
        [window(1, scene=1), window(2)],
        tmp_path / "next.gpkg",
        grids=[grid(), other],
        scenes=["a.tif", "b.tif"],
        classes=CLASSES,
    )
    found = gpd.read_file(path, layer="suggestions")
    assert found.crs.to_epsg() == 32633
    assert found["scene"].tolist() == ["b.tif", "a.tif"]
    there = gpd.GeoSeries([found.geometry[0]], crs=found.crs).to_crs(32634).total_bounds
    assert np.allclose(there, [64, 3_999_936, 80, 3_999_968], atol=1e-3)


@pytest.mark.parametrize("windows", [[], [window(1)]])
def test_no_window_and_no_crs_are_a_layer_too(tmp_path: Path, windows: list[SuggestedWindow]) -> None:
    found = gpd.read_file(write(tmp_path / "next.gpkg", windows, crs=None), layer="suggestions")
    assert len(found) == len(windows)
    assert {"rank", "reason", "class_1", "class_2", "scene"} <= set(found.columns)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="GeoJSON holds longitudes"):
        write(tmp_path / "next.geojson", [window(1)], crs=None)
    with pytest.raises(OptionError, match="some scenes have none"):
        write_suggestions([], tmp_path / "a.gpkg", grids=[grid(), grid(None)], scenes=["a", "b"], classes=CLASSES)
    with pytest.raises(OptionError, match="suffix"):
        write(tmp_path / "next.shp", [window(1)])
    path = write(tmp_path / "next.gpkg", [window(1)])
    with pytest.raises(OutputError, match="exists"):
        write(path, [window(1)])
    write(path, [window(1), window(2)], overwrite=True)
    assert len(gpd.read_file(path, layer="suggestions")) == 2
