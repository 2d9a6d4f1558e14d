"""Runs whose polygons go to a layer of many scenes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from numpy.typing import NDArray

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabWarning, OptionError, OutputError
from geodeeplab.models import Model
from geodeeplab.pipeline.scenes.manifest import MANIFEST_NAME, read_manifest
from geodeeplab.vector.layers import appending
from tests.pipeline.test_resume import Cut, cut_after

MakeRaster = Callable[..., Path]
TILE: dict[str, Any] = {"tile_size": 64, "overlap": 16}


@pytest.fixture
def scenes(make_raster: MakeRaster, blocks: Callable[..., NDArray[np.uint8]]) -> list[Path]:
    return [make_raster(blocks(64, 64, seed=seed), f"{name}.tif", photometric="rgb") for seed, name in enumerate("ab")]


def alone(scene: Path, model: Model, folder: Path, **options: Any) -> gpd.GeoDataFrame:  # noqa: ANN401
    return gdl.segment(scene, folder / f"{scene.stem}-alone.gpkg", model=model, **TILE, **options).polygons


def layer_of(path: Path, scene: str, name: str = "landcover", column: str = "scene") -> gpd.GeoDataFrame:
    table = gpd.read_file(path, layer=name)
    return table[table[column] == scene].drop(columns=column).reset_index(drop=True)


@pytest.mark.slow
def test_a_layer_of_two_scenes(scenes: list[Path], tiny: Model, tmp_path: Path) -> None:
    """Law: the polygons are those of each scene alone."""
    path = tmp_path / "all.gpkg"
    for scene in scenes:
        done = gdl.segment(scene, path, append=True, model=tiny, **TILE)
        assert done.polygons_path == path
        assert done.facts["outputs"] == [str(path)]
        assert len(done.polygons) == done.facts["polygons"]
        assert set(done.polygons["scene"]) == {scene.stem}
    for scene in scenes:
        assert layer_of(path, scene.stem).equals(alone(scene, tiny, tmp_path))
    assert pyogrio.read_info(path, layer="landcover")["features"] == len(gpd.read_file(path, layer="landcover"))
    assert not list(tmp_path.glob(".*"))

    with pytest.raises(OptionError, match="has polygons of scene 'a' already"):
        gdl.segment(scenes[0], path, append=True, model=tiny, **TILE)
    again = gdl.segment(scenes[0], path, append=True, model=tiny, resume=True, **TILE)
    assert again.facts["notes"] == ["done before"]
    with pytest.raises(OutputError, match="is complete and was made with overlap 16, now 8"):
        gdl.segment(scenes[0], path, append=True, model=tiny, resume=True, tile_size=64, overlap=8)
    with pytest.raises(OptionError, match="has polygons of scene 'a' already"):
        gdl.segment(scenes[0], path, append=True, label_raster=tmp_path / "a_l.tif", model=tiny, resume=True, **TILE)
    gdl.segment(scenes[0], path, append=True, overwrite=True, model=tiny, tile_size=64, overlap=8)
    with pytest.raises(OptionError, match="lacks the columns tile"):
        gdl.segment(scenes[0], path, append=gdl.Append(scene_column="tile", scene_name="c"), model=tiny, **TILE)
    with pytest.raises(OptionError, match="has the classes 1 field, 2 wood, 3 roof, these polygons have 2 wood"):
        gdl.segment(scenes[0], path, append=gdl.Append(scene_name="c"), classes=["wood"], model=tiny, **TILE)
    assert not list(tmp_path.glob(".*"))


def test_names(scenes: list[Path], tiny: Model, tmp_path: Path) -> None:
    path = tmp_path / "all.gpkg"
    options = gdl.PolygonOptions(layer_name="land use", connectivity=8, min_area_px=20)
    append = gdl.Append(scene_name="tile 1", scene_column="tile")
    done = gdl.segment(scenes[0], path, polygon_options=options, append=append, model=tiny, **TILE)
    assert len(done.polygons) == len(layer_of(path, "tile 1", "land use", "tile")) > 0
    with pytest.raises(OptionError, match="holds MULTIPOLYGON, these polygons are POLYGON: give the same"):
        gdl.segment(
            scenes[1],
            path,
            polygon_options=gdl.PolygonOptions(layer_name="land use"),
            append=gdl.Append(scene_column="tile"),
            model=tiny,
            **TILE,
        )
    with pytest.raises(OptionError, match=r"polygons are appended to a GeoPackage \(\.gpkg\), got .*a\.fgb"):
        gdl.segment(scenes[1], tmp_path / "a.fgb", append=True, model=tiny)
    with pytest.raises(OptionError, match="a scene that is no file has no name in the layer"):
        gdl.segment(np.zeros((3, 64, 64), np.uint8), path, append=True, model=tiny)
    with pytest.raises(OptionError, match="is also an input"):
        gdl.segment(scenes[1], path, append=True, aoi=path, model=tiny)
    with pytest.raises(OptionError, match="a layer is named by a letter"):
        gdl.PolygonOptions(layer_name="rtree_a")


def test_interrupted(scenes: list[Path], tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off while pixels are computed, and when all was done but the transaction."""
    path = tmp_path / "all.gpkg"
    run: dict[str, Any] = {"append": True, "model": tiny, **TILE}
    with pytest.raises(Cut):
        gdl.segment(scenes[0], path, progress=cut_after(0), **run)
    gdl.segment(scenes[0], path, resume=True, **run)
    content = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(appending, "copy_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            gdl.segment(scenes[1], path, **run)
    assert layer_of(path, "a").equals(gpd.read_file(path, layer="landcover").drop(columns="scene"))
    assert len(content) <= path.stat().st_size
    with pytest.raises(OutputError, match=r"of scene 'b' are finished in .*, not in the layer yet: pass `resume=True`"):
        gdl.segment(scenes[1], path, **run)
    done = gdl.segment(scenes[1], path, resume=True, **run)
    assert done.facts["notes"] == ["done before"]
    assert layer_of(path, "b").equals(alone(scenes[1], tiny, tmp_path))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_many_scenes(scenes: list[Path], tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "all.gpkg"
    path.parent.mkdir()
    run: dict[str, Any] = {"label_raster": tmp_path / "out", "append": True, "model": tiny_model, **TILE}
    with pytest.warns(GeoDeepLabWarning, match="a scene failed"):
        first = gdl.segment_scenes([scenes[0], tmp_path / "none.tif"], path, **run)
    assert [(one.status, one.outputs[0]) for one in first] == [("done", str(path)), ("failed", str(path))]
    again = gdl.segment_scenes(scenes, path, **run)
    assert [one.status for one in again] == ["done before", "done"]
    table = gpd.read_file(path, layer="landcover")
    assert table["scene"].unique().tolist() == ["a", "b"]
    assert {run.scene: run.status for run in read_manifest(path.parent / MANIFEST_NAME)}[str(scenes[1])] == "done"
    (named,) = gdl.segment_scenes(scenes[:1], path, **run | {"append": gdl.Append(scene_name="c"), "overwrite": True})
    assert named.status == "done"
    assert (gpd.read_file(path, layer="landcover")["scene"] == "c").sum() == (table["scene"] == "a").sum()
    replaced = gdl.segment_scenes(scenes[:1], path, overwrite=True, **run)
    assert [one.status for one in replaced] == ["done"]
    assert replaced[0].facts is not None
    assert json.dumps(replaced[0].facts["outputs"]) == json.dumps([str(path), str(tmp_path / "out" / "a.tif")])
    assert (gpd.read_file(path, layer="landcover")["scene"] != "c").sum() == len(table)
    assert not [one for one in path.parent.glob(".*") if "all" in one.name]
