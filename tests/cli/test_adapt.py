"""`geodeeplab adapt`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest

import geodeeplab as gdl
from tests.adaptation.drawn import draw_image, draw_polygons, draw_squares, quick, read, truth_of, write_scene

Run = Callable[..., Any]
Refused = Callable[..., None]
HEIGHT, WIDTH = 75, 125


@pytest.fixture(scope="module", autouse=True)
def quickly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with quick(tmp_path_factory.mktemp("cache")):
        yield


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", draw_image(truth_of(draw_squares(HEIGHT, WIDTH), HEIGHT, WIDTH)))


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    draw_polygons(draw_squares(HEIGHT, WIDTH), HEIGHT, WIDTH, count=3).to_file(tmp_path / "few.gpkg")
    return tmp_path / "few.gpkg"


@pytest.fixture
def arguments(scene: Path, polygons: Path) -> list[object]:
    """An `adapt` that works; what is to be written is left out."""
    options = ["--model", "none", "--tile-size", 64, "--overlap", 16]
    return ["adapt", scene, "--labels", polygons, "--class-field", "class", *options]


def test_the_whole_of_it(run: Run, arguments: list[object], scene: Path, out: Path) -> None:
    written = ["-o", out / "a.gpkg", "--label-raster", out / "a.tif", "--save", out / "m.safetensors"]
    ran = run(*arguments, *written, "--suggest", out / "next.gpkg", "-n", 3, "--map", out / "a.html")
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("class")
    assert lines[-1].startswith(f"{out / 'a.gpkg'} {out / 'a.tif'}: 125 × 75 px")
    assert "windows to look at next" in ran.err
    names = {"a.gpkg", "a.tif", "a.tif.aux.xml", "a.html", "m.safetensors", "next.gpkg"}
    assert '"kind":"polygons"' in (out / "a.html").read_text()
    assert {path.name for path in out.iterdir()} == names
    assert set(gpd.read_file(out / "a.gpkg", layer="landcover")["class_name"]) <= set("abc")
    assert len(gpd.read_file(out / "next.gpkg", layer=0)) <= 3
    again = run("segment", scene, "--label-raster", out / "b.tif", "--model", out / "m.safetensors")
    assert again.status == 0, again.err
    assert np.array_equal(read(out / "a.tif"), read(out / "b.tif"))
    told = run("models", out / "m.safetensors")
    assert told.status == 0, told.err
    assert "adapted from colour, efficientnet_lite0" in told.out
    facts = run("info", scene, "--model", out / "m.safetensors")
    assert facts.status == 0, facts.err


def test_json_and_a_second_round(run: Run, arguments: list[object], out: Path) -> None:
    first = run(*arguments, "--save", out / "m.safetensors", "--progress", "json", "--json")
    assert first.status == 0, first.err
    told = [json.loads(line) for line in first.err.splitlines()]
    assert list(dict.fromkeys(one["stage"] for one in told if one["event"] == "progress")) == [
        "features",
        "head",
        "report",
    ]
    assert told[-2]["message"].startswith("class"), "the report"
    assert (told[-1]["event"], told[-1]["outputs"]) == ("done", [str(out / "m.safetensors")])
    assert told[-1]["facts"] == json.loads(first.out)
    second = run(*arguments, "--since", out / "m.safetensors", "--label-raster", out / "a.tif", "--json")
    assert second.status == 0, second.err
    found = json.loads(second.out)
    assert [one["name"] for one in found["report"]["classes"]] == ["a", "b", "c"]
    assert set(found["maps"][0]["pixels"]) == {"a", "b", "c"}
    assert "0.0% of the ground has another class than before" in second.err


@pytest.mark.slow
def test_several_scenes(run: Run, arguments: list[object], tmp_path: Path, polygons: Path, out: Path) -> None:
    image = draw_image(truth_of(draw_squares(HEIGHT, WIDTH), HEIGHT, WIDTH), seed=1)
    other = write_scene(tmp_path / "other.tif", image)
    ran = run(*arguments, other, "-o", f"{out}/", "--label-raster", f"{out}/")
    assert ran.status == 0, ran.err
    assert {path.name for path in out.iterdir() if path.suffix != ".xml"} == {
        "scene.gpkg", "other.gpkg", "scene.tif", "other.tif",
    }  # fmt: skip


def test_several_scenes_need_folders(expect_refused: Refused, arguments: list[object], scene: Path, out: Path) -> None:
    match = "maps of several scenes go into folders: end each output with /"
    expect_refused(*arguments, scene, "-o", out / "a.gpkg", match=match)


def test_a_map_for_the_browser_is_of_one_scene_and_shows_something(
    expect_refused: Refused, arguments: list[object], scene: Path, out: Path
) -> None:
    page = ("--map", out / "a.html")
    expect_refused(*arguments, *page, match="give -o or --label-raster, too", status=2)
    expect_refused(*arguments, scene, "-o", f"{out}/", *page, match="--map is for the result of one scene", status=2)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the work begins."""

    def work(*_: object, **__: object) -> None:
        pytest.fail("it works before it has checked its outputs")

    monkeypatch.setattr("geodeeplab.adaptation.adapt.adapt", work)


@pytest.mark.parametrize(
    ("option", "name"),
    [("-o", "a.gpkg"), ("--label-raster", "a.tif"), ("--save", "m.safetensors"), ("--suggest", "n.gpkg")],
)
@pytest.mark.usefixtures("no_work")
def test_what_exists_is_refused_before_any_work(
    expect_refused: Refused, arguments: list[object], out: Path, option: str, name: str
) -> None:
    (out / name).write_text("kept")
    expect_refused(*arguments, option, out / name, match=f"{name} exists: pass --overwrite")


@pytest.mark.usefixtures("no_work")
def test_inputs_are_never_written_over(
    expect_refused: Refused, arguments: list[object], scene: Path, polygons: Path, tmp_path: Path, tiny_model: Path
) -> None:
    model = tmp_path / "base.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    for written in (
        ["-o", polygons],
        ["--suggest", polygons],
        ["--label-raster", scene],
        ["--confidence", scene],
        ["--save", model, "--model", model],
        ["--save", model, "--since", model],
    ):
        before = written[1].read_bytes()  # type: ignore[attr-defined]
        expect_refused(*arguments, *written, "--overwrite", match="input|reads")
        assert written[1].read_bytes() == before  # type: ignore[attr-defined]


@pytest.mark.usefixtures("no_work")
def test_outputs_are_distinct_and_of_known_kinds(expect_refused: Refused, arguments: list[object], out: Path) -> None:
    expect_refused(*arguments, "-o", out / "a.gpkg", "--suggest", out / "a.gpkg", match="same|twice|two")
    expect_refused(*arguments, "--save", out / "a.pt", match="a.pt has the suffix '.pt'")
    expect_refused(*arguments, "-o", out / "a.doc", match="a.doc has the suffix '.doc'")
    expect_refused(*arguments, "--save", out / "no" / "m.safetensors", match="folder .*no does not exist")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--class-field", "kind"], "kind"),
        (["--model", "nobody"], "nobody"),
        (["--classes", "a"], "--ignore-unknown|class"),
        (["--tile-size", 1], "tile"),
    ],
)
def test_refusals_name_options_as_they_are_typed(
    expect_refused: Refused, arguments: list[object], out: Path, options: list[object], match: str
) -> None:
    expect_refused(*arguments, "-o", out / "a.gpkg", *options, match=match)


def test_a_failure_half_way_leaves_nothing(
    run: Run, arguments: list[object], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise gdl.OutputError("the disk is full: make room")

    monkeypatch.setattr("geodeeplab.adaptation.adaptation.segment", fail)
    written = ["--save", out / "m.safetensors", "--suggest", out / "n.gpkg", "-o", out / "a.gpkg"]
    ran = run(*arguments, *written)
    assert ran.status == 1
    assert ran.err.splitlines()[-1] == "error: the disk is full: make room"
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_a_map_that_is_complete_is_said_to_be(run: Run, arguments: list[object], out: Path) -> None:
    assert run(*arguments, "--label-raster", out / "a.tif").status == 0
    before = read(out / "a.tif")
    again = run(*arguments, "--label-raster", out / "a.tif", "--resume")
    assert again.status == 0, again.err
    assert np.array_equal(read(out / "a.tif"), before)
    other = run(*arguments, "--label-raster", out / "a.tif", "--resume", "--seed", 1)
    assert other.status == 1
    assert "cannot resume" in other.err


@pytest.mark.slow
def test_processes_give_the_same_map(run: Run, arguments: list[object], out: Path) -> None:
    for name, options in (("a.tif", ()), ("b.tif", ("--dask", 2))):
        ran = run(*arguments, "--label-raster", out / name, *options)
        assert ran.status == 0, ran.err
    assert np.array_equal(read(out / "a.tif"), read(out / "b.tif"))
