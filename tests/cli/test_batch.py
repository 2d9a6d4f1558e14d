"""Many scenes into folders of results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from geodeeplab.cli.batch import are_folders
from geodeeplab.errors import OptionError
from geodeeplab.pipeline.scenes.manifest import MANIFEST_NAME
from geodeeplab.pipeline.scenes.tasks import list_tasks

Blocks = Callable[..., np.ndarray]
MakeRaster = Callable[..., Path]
Run = Callable[..., Any]
Refused = Callable[..., None]


def read_labels(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        labels: np.ndarray = src.read(1)
    return labels


def names_in(folder: Path) -> list[str]:
    """Name all results in a folder; the manifest has tests of its own."""
    return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST_NAME)


@pytest.fixture
def scenes(make_raster: MakeRaster, blocks: Blocks, tmp_path: Path) -> Path:
    """A folder with the scenes a, b and c, of their own sizes, and files that are none."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for index, name in enumerate("abc"):
        make_raster(blocks(60 + index, 80, seed=index), f"scenes/{name}.tif", photometric="rgb")
    (folder / "c.tif").rename(folder / "c.TIFF")
    for name in ("notes.txt", "a.tif.aux.xml", ".hidden.tif"):
        (folder / name).write_text("no scene")
    return folder


@pytest.fixture
def batch(scenes: Path, tiny_model: Path, out: Path) -> list[object]:
    return ["segment", scenes, "--label-raster", f"{out}/", "--model", tiny_model]


def spoil(path: Path) -> bytes:
    """Cut a scene off; give what it was."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content


class TestBatch:
    def test_each_scene_of_a_folder_has_results_of_its_own(
        self, run: Run, scenes: Path, tiny_model: Path, out: Path, tmp_path: Path
    ) -> None:
        new = out / "new" / "deeper"
        argv = ["--label-raster", f"{new}/", "--confidence", f"{new}/", "--probabilities", out, "-o", f"{new}/"]
        ran = run("segment", scenes, *argv, "--model", tiny_model)
        assert (ran.status, ran.err) == (0, "")
        assert [line.split(":")[0].split()[0] for line in ran.out.splitlines()] == [
            f"{new}/{one}.gpkg" for one in "abc"
        ]
        found = [f"{one}{end}" for one in "abc" for end in (".gpkg", ".tif", ".tif.aux.xml", "_confidence.tif")]
        assert names_in(new) == sorted(found)
        assert names_in(out) == ["a_probabilities.tif", "b_probabilities.tif", "c_probabilities.tif", "new"]
        for index, name in enumerate(("a.tif", "b.tif", "c.TIFF")):
            alone = tmp_path / f"alone-{index}.tif"
            assert run("segment", scenes / name, "--label-raster", alone, "--model", tiny_model).status == 0
            labels = read_labels(new / f"{name[0]}.tif")
            assert labels.shape == (60 + index, 80)
            np.testing.assert_array_equal(labels, read_labels(alone))

    def test_several_scenes_into_a_folder(self, run: Run, scenes: Path, tiny_model: Path, out: Path) -> None:
        ran = run("segment", scenes / "c.TIFF", scenes / "a.tif", "--label-raster", out, "--model", tiny_model)
        assert (ran.status, ran.err) == (0, "")
        assert names_in(out) == ["a.tif", "a.tif.aux.xml", "c.tif", "c.tif.aux.xml"]

    def test_json_is_a_list(self, run: Run, batch: list[object], out: Path) -> None:
        facts = json.loads(run(*batch, "--json").out)
        assert [one["outputs"] for one in facts] == [[str(out / f"{name}.tif")] for name in "abc"]
        assert [one["shape"] for one in facts] == [[60, 80], [61, 80], [62, 80]]
        assert json.loads(run(*batch, "--json").out) == [], "all are done"

    def test_done_ones_are_left_out(self, run: Run, batch: list[object], scenes: Path, out: Path) -> None:
        assert run(*batch).status == 0
        times = {name: (out / name).stat().st_mtime_ns for name in names_in(out)}
        (out / "b.tif").unlink()
        ran = run(*batch)
        assert (ran.status, len(ran.out.splitlines())) == (0, 1)
        assert ran.err.splitlines() == [f"{scenes / 'a.tif'}: done before", f"{scenes / 'c.TIFF'}: done before"]
        assert (out / "a.tif").stat().st_mtime_ns == times["a.tif"]
        assert (out / "b.tif").stat().st_mtime_ns > times["b.tif"]
        ran = run(*batch, "--overwrite")
        assert (ran.status, ran.err, len(ran.out.splitlines())) == (0, "", 3)
        assert all((out / name).stat().st_mtime_ns > time for name, time in times.items() if name.endswith(".tif"))


class TestFailures:
    @pytest.mark.parametrize("json_option", [[], ["--json"]])
    def test_one_that_fails_is_told_at_the_end_and_the_others_are_done(
        self, run: Run, batch: list[object], scenes: Path, out: Path, json_option: list[str]
    ) -> None:
        whole = spoil(scenes / "b.tif")
        ran = run(*batch, *json_option)
        assert ran.status == 1
        first, last = ran.err.splitlines()
        assert first.startswith(f"error: scene '{scenes / 'b.tif'}' ")
        assert last == f"error: 1 of 3 scenes failed: {scenes / 'b.tif'}"
        assert [name for name in names_in(out) if name.endswith(".tif")] == ["a.tif", "c.tif"]
        if json_option:
            assert [one["outputs"] for one in json.loads(ran.out)] == [[str(out / "a.tif")], [str(out / "c.tif")]]
        (scenes / "b.tif").write_bytes(whole)
        assert run(*batch).status == 0
        assert [name for name in names_in(out) if name.endswith(".tif")] == ["a.tif", "b.tif", "c.tif"]

    def test_what_is_said_of_one_that_fails_speaks_of_options(
        self, run: Run, batch: list[object], scenes: Path, make_raster: MakeRaster
    ) -> None:
        make_raster(np.ones((4, 60, 80), np.uint8), "scenes/b.tif", photometric="minisblack")
        first, *_ = run(*batch).err.splitlines()
        assert "pass --bands or choose a model" in first

    def test_ctrl_c_ends_the_batch_and_says_what_is_done(
        self, run: Run, batch: list[object], out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from geodeeplab.pipeline.writing import OutputWriter

        publish = OutputWriter.publish

        def interrupt(writing: Any, *rest: Any, **options: Any) -> int | None:  # noqa: ANN401
            if "b.tif" in writing._plan.scene.path:
                raise KeyboardInterrupt
            return publish(writing, *rest, **options)

        with monkeypatch.context() as patch:
            patch.setattr(OutputWriter, "publish", interrupt)
            ran = run(*batch)
        assert ran.status == 1
        (line,) = [line for line in ran.err.splitlines() if line]
        kept = f"100 % of the scene is kept in {out / '.b.tif.geodeeplab-work'}: pass --resume to go on"
        assert line == f"error: interrupted before the outputs were written; {kept}; 1 of 3 scenes are done"
        assert names_in(out) == [".b.tif.geodeeplab-work", "a.tif", "a.tif.aux.xml"]

        again = run(*batch)  # neither --resume nor --overwrite
        assert again.status == 1
        assert "an interrupted run left 100 % in" in again.err
        resumed = json.loads(run(*batch, "--resume", "--json").out)
        assert [(one["outputs"], one["resumed_share"]) for one in resumed] == [([str(out / "b.tif")], 1.0)]
        assert [name for name in names_in(out) if name.endswith(".tif")] == ["a.tif", "b.tif", "c.tif"]


def test_a_scene_that_meets_a_bug_is_reported_and_the_others_go_on(
    run: Run, out: Path, batch: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodeeplab.pipeline.writing import OutputWriter

    publish = OutputWriter.publish

    def break_down(writing: Any, *rest: Any, **options: Any) -> int | None:  # noqa: ANN401
        if "b.tif" in writing._plan.scene.path:
            raise RuntimeError("some\nbug")
        return publish(writing, *rest, **options)

    monkeypatch.setattr(OutputWriter, "publish", break_down)
    ran = run(*batch)
    assert ran.status == 1
    assert [name for name in names_in(out) if name.endswith(".tif")] == ["a.tif", "c.tif"]
    assert "Traceback" in ran.err
    told, last = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert "b.tif: RuntimeError: some bug; 100 % of the scene is kept in" in told
    assert last.startswith("error: 1 of 3 scenes failed: ")


class TestRefusals:
    def test_results_of_one_name(
        self, expect_refused: Refused, scenes: Path, make_raster: MakeRaster, blocks: Blocks, batch: list[object]
    ) -> None:
        make_raster(blocks(60, 80), "scenes/a.png", driver="PNG")
        expect_refused(*batch, match=r"a.png and .*a.tif would have results of the same name: run them one by one")

    def test_no_scene(self, expect_refused: Refused, tmp_path: Path, out: Path, tiny_model: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        expect_refused(
            "segment", empty, "--label-raster", out, "--model", tiny_model, match="no scene in .*: rasters end with"
        )

    def test_a_file_among_folders(self, expect_refused: Refused, batch: list[object], out: Path) -> None:
        expect_refused(*batch, "-o", out / "a.gpkg", match="all outputs are folders or none is, and .*a.gpkg is none")

    def test_a_folder_of_scenes_into_a_file(self, expect_refused: Refused, scenes: Path, out: Path) -> None:
        expect_refused("segment", scenes, "--label-raster", out / "a.tif", match="needs a folder of results: give one")
        expect_refused("segment", scenes, match="needs a folder of results: give one")

    def test_a_folder_that_cannot_be_made(self, expect_refused: Refused, batch: list[object], out: Path) -> None:
        (out / "file").touch()
        expect_refused(*batch, "-o", f"{out}/file/new/", match="file/new cannot be made .*: choose another")

    @pytest.mark.parametrize("option", ["label-raster", "confidence"])
    def test_rasters_among_the_scenes(
        self, expect_refused: Refused, scenes: Path, tiny_model: Path, option: str
    ) -> None:
        before = names_in(scenes)
        for given in (scenes, scenes / "a.tif"):
            argv = ["segment", given, f"--{option}", f"{scenes}/", "--model", tiny_model]
            expect_refused(
                *argv, match=rf"rasters for --{option} would lie among the scenes in .*: choose another folder"
            )
        assert names_in(scenes) == before

    def test_a_result_that_is_a_scene(
        self, expect_refused: Refused, scenes: Path, batch: list[object], out: Path
    ) -> None:
        (out / "a.tif").hardlink_to(scenes / "b.tif")
        expect_refused(*batch, "--overwrite", match=r"output .*a.tif is also an input, .*: choose another output path")

    def test_a_result_that_is_that_of_another_scene(
        self, expect_refused: Refused, scenes: Path, batch: list[object], out: Path
    ) -> None:
        (scenes / "b.tif").rename(scenes / "a_confidence.tif")
        expect_refused(*batch, "--confidence", f"{out}/", match=r"same path .*a_confidence.tif: give each its own")

    def test_polygons_beside_their_scenes(self, run: Run, scenes: Path, tiny_model: Path) -> None:
        assert run("segment", scenes, "-o", scenes, "--model", tiny_model).status == 0
        assert {"a.gpkg", "b.gpkg", "c.gpkg"} < set(names_in(scenes))

    def test_a_model_that_is_not_there_is_told_once(self, expect_refused: Refused, batch: list[object]) -> None:
        expect_refused(*batch, "--model", "landcover-lunar", match="no bundled model and no file is called")


def test_a_zarr_store_is_one_scene(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    store = str(tmp_path / "a.zarr")
    with pytest.raises(OptionError, match="a folder of scenes needs a folder of results"):
        are_folders({"polygons": "a.gpkg"}, [store])
    (tmp_path / "a.zarr" / "zarr.json").write_text("{}")
    assert not are_folders({"polygons": "a.gpkg"}, [store])
    assert [one.scene for one in list_tasks([store], {"polygons": f"{tmp_path / 'out'}/"})] == [store]


@pytest.mark.slow
def test_one_layer_of_many_scenes(
    run: Run, expect_refused: Refused, scenes: Path, tiny_model: Path, out: Path, tmp_path: Path
) -> None:
    layer, rasters = out / "all.gpkg", f"{out / 'rasters'}/"
    argv: list[object] = ["--model", tiny_model, "--append", "-o", layer]
    ran = run("segment", scenes, *argv, "--label-raster", rasters)
    assert ran.status == 0, ran.err
    table = gpd.read_file(layer, layer="landcover")
    assert set(table["scene"]) == {"a", "b", "c"}
    assert sorted(path.name for path in (out / "rasters").glob("*.tif")) == ["a.tif", "b.tif", "c.tif"]
    assert run("segment", scenes, *argv, "--label-raster", rasters).status == 0
    expect_refused("segment", scenes / "a.tif", *argv, match="has polygons of scene 'a' already: pass --overwrite")
    expect_refused("segment", scenes, *argv, "--label-raster", out / "a.tif", match="several scenes have rasters in")
    expect_refused("segment", scenes / "a.tif", *argv[:-1], out / "a.geojson", match="appended to a GeoPackage")
    wrong = run("segment", scenes, "-o", out, "--scene-name", "a", "--model", tiny_model)
    assert (wrong.status, "need --append" in wrong.err) == (2, True)
    expect_refused("segment", scenes, *argv, "--scene-name", "a", match="3 scenes have 3 names, got one, 'a'")
    ran = run("segment", scenes / "a.tif", *argv, "--scene-name", "again", "--overwrite")
    assert ran.status == 0, ran.err
    assert len(gpd.read_file(layer, layer="landcover")) == len(table) + (table["scene"] == "a").sum()
