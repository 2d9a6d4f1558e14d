"""Which scenes there are, and what their results are called."""

import json
from pathlib import Path
from typing import Any

import pytest

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.pipeline.scenes.tasks import list_tasks
from geodeeplab.raster import local_files_only, open_scene


def item(own: object, href: str = "a.tif", **more: object) -> dict[str, Any]:
    asset = {"href": href, "type": "image/tiff", "roles": ["data"]}
    return {
        "type": "Feature",
        "id": own,
        "links": [{"rel": "self", "href": "/elsewhere/x.json"}],
        "assets": {"a": asset},
        **more,
    }


def write_collection(path: Path, *features: object, **more: object) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **more}))
    return path


def test_each_item_of_a_collection_is_a_scene(make_raster: Any, blocks: Any, tmp_path: Path) -> None:  # noqa: ANN401
    make_raster(blocks(20, 30), "a.tif", photometric="rgb")
    document = write_collection(tmp_path / "items.json", item("S2A_1", "a.tif"), item("../S2 B", "b.tif"), item(7))
    tasks = list_tasks([document], {"label_raster": tmp_path / "out", "polygons": None})
    assert [task.name.removeprefix(str(document)) for task in tasks] == ["#S2A_1", "#../S2 B", "#item-3"]
    assert [task.outputs["label_raster"].name for task in tasks] == ["S2A_1.tif", "_S2_B.tif", "item-3.tif"]
    assert (tmp_path / "out").is_dir()
    with open_scene(tasks[0].scene) as scene:  # a relative href is so to the collection, whatever the item says
        assert scene.shape == (20, 30)


def test_documents_that_python_has_read(tmp_path: Path) -> None:
    collection = {"type": "FeatureCollection", "features": [item("a"), item("b")]}
    tasks = list_tasks([collection, item("c")], {"polygons": tmp_path})
    assert [task.name for task in tasks] == ["a", "b", "c"]
    assert tasks[2].scene == item("c")


def test_one_item_or_none_that_can_be_read_is_one_scene(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(item("a")))
    names = [str(tmp_path / "one.json"), str(tmp_path / "missing.json"), "scene.tif"]
    assert [task.scene for task in list_tasks(names, {"polygons": tmp_path})] == names
    mosaic = write_collection(tmp_path / "items.json", item("a"), item("b"))
    (task,) = list_tasks([mosaic], {"polygons": tmp_path}, split_collections=False)
    assert (task.scene, task.outputs["polygons"].name) == (str(mosaic), "items.gpkg")


@pytest.mark.parametrize(
    ("features", "more", "words"),
    [
        ([], {}, "is no collection of STAC items: give a FeatureCollection of at least one"),
        ([item("a"), 1], {}, "is no collection of STAC items"),
        ([item("a")], {"links": [{"rel": "next"}]}, "is one page of a longer list"),
        ([item("a"), item("a")], {}, "#a and .*#a would have results of the same name"),
        ([item("a b"), item("a/b")], {}, "would have results of the same name"),
        ([item("..")], {}, "named after the ids of STAC items, and '..' is no name for a file"),
        ([item("a" * 300)], {}, "give it an id of 1 to 200 bytes"),
    ],
)
def test_collections_whose_items_cannot_be_told_apart(
    tmp_path: Path, features: list[object], more: dict[str, object], words: str
) -> None:
    document = write_collection(tmp_path / "items.json", *features, **more)
    with pytest.raises((OptionError, SceneError), match=words):
        list_tasks([document], {"polygons": tmp_path / "out"})
    assert not (tmp_path / "out").exists()


def test_items_of_strangers_have_no_folder_of_their_own(tmp_path: Path) -> None:
    document = write_collection(tmp_path / "items.json", item("a"))
    with local_files_only(), pytest.raises(SceneError, match="as `local_only=` asks for: give each item as a file"):
        list_tasks([document], {"polygons": tmp_path})


def test_what_is_no_path_and_no_place_for_results(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"paths, folders or STAC items, not a int: write it to a file first"):
        list_tasks([3], {"polygons": tmp_path})  # type: ignore[list-item]
    with pytest.raises(OptionError, match="nothing to write: give a folder"):
        list_tasks(["a.tif"], {"polygons": None})
