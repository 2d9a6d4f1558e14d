"""Polygons of every kind, and scenes that do not fit: right, or one clear line."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

import geodeeplab as gdl
from tests.adaptation.drawn import (
    SMALL,
    Drawn,
    draw_image,
    draw_polygons,
    draw_squares,
    frame,
    pixel_box,
    read,
    truth_of,
    write_scene,
)

Found = list[tuple[str, shapely.Polygon]]
HEIGHT, WIDTH = 75, 100


def scene_in(folder: Path, *, classes: int = 3, seed: int = 0, **image: Any) -> Path:  # noqa: ANN401 - as draw_image has
    truth = truth_of(draw_squares(HEIGHT, WIDTH, classes=classes), HEIGHT, WIDTH)
    return write_scene(folder / f"scene{seed}.tif", draw_image(truth, seed=seed, **image))


def polygons_of(count: int = 3) -> Found:
    drawn = draw_polygons(draw_squares(HEIGHT, WIDTH), HEIGHT, WIDTH, count=count)
    return list(zip(drawn["class"], drawn.geometry, strict=True))


def adapt(scene: Any, found: Found, **options: Any) -> gdl.Adaptation:  # noqa: ANN401 - passed on
    return gdl.adapt(scene, frame(found), **SMALL | {"cache": False} | options)


def check_refused(match: str, scene: Any, found: Found, **options: Any) -> None:  # noqa: ANN401 - passed on
    with pytest.raises(gdl.GeoDeepLabError) as caught:
        adapt(scene, found, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(match, message), message
    assert ": " in message


def test_polygons_outside_of_the_scene(tmp_path: Path) -> None:
    outside = [("a", pixel_box(5, 2000, 10)), ("b", pixel_box(-50, 5, 10))]
    check_refused("no polygon lies on the scene", scene_in(tmp_path), outside)


def test_some_polygons_outside_of_the_scene(tmp_path: Path) -> None:
    adapted = adapt(scene_in(tmp_path), [*polygons_of(), ("a", pixel_box(5, 2000, 10)), ("b", pixel_box(70, 95, 20))])
    assert len(np.unique(adapted.cells.polygon)) == len(polygons_of()) + 1
    assert adapted.cells.row.max() < HEIGHT
    assert adapted.cells.col.max() < WIDTH


def test_a_class_that_lies_outside_is_warned_of(tmp_path: Path) -> None:
    found = [*polygons_of(), ("z", pixel_box(5, 2000, 10))]
    with pytest.warns(gdl.GeoDeepLabWarning, match="no polygon of z covers a valid pixel"):
        adapted = adapt(scene_in(tmp_path), found)
    assert [item.name for item in adapted.model.contract.classes] == ["a", "b", "c", "z"]
    adapted.segment(label_raster=tmp_path / "a.tif")
    assert set(np.unique(read(tmp_path / "a.tif"))) <= {1, 2, 3}
    assert str(adapted.report)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("last", {"b"}), ("smallest", {"a"}), ("ignore", set())],
)
def test_overlapping_polygons_of_two_classes(tmp_path: Path, rule: str, expected: set[str]) -> None:
    overlapping: Found = [("a", pixel_box(4, 4, 8)), ("b", pixel_box(2, 2, 14))]
    adapted = adapt(scene_in(tmp_path), [*polygons_of(), *overlapping], on_overlap=rule)
    cells = adapted.cells
    within = (cells.row >= 6) & (cells.row < 10) & (cells.col >= 6) & (cells.col < 10)
    assert {"abc"[number] for number in cells.label[within]} == expected
    assert all(len(np.unique(cells.label[cells.polygon == one])) == 1 for one in np.unique(cells.polygon))


def test_one_class_alone_and_against_the_rest(tmp_path: Path) -> None:
    scene, found = scene_in(tmp_path), [one for one in polygons_of() if one[0] == "a"]
    check_refused("all polygons are of one class, 'a'.*`background=`", scene, found)
    check_refused("give the rest another name", scene, found, background="a")
    adapted = adapt(scene, found, background="rest")
    assert adapted.class_names == ("a", "rest")
    assert set(adapted.cells.label) == {0, 1}
    adapted.segment(label_raster=tmp_path / "a.tif")
    assert set(np.unique(read(tmp_path / "a.tif"))) <= {1, 2}


def test_classes_that_lie_on_the_scene_are_two_or_more(tmp_path: Path) -> None:
    found = [("a", pixel_box(5, 5, 10)), ("b", pixel_box(5, 2000, 10))]
    check_refused("on the scene all polygons are of one class, 'a'", scene_in(tmp_path), found)


def test_single_polygons(tmp_path: Path) -> None:
    adapted = adapt(scene_in(tmp_path), polygons_of(count=1))
    assert all(one.iou is None for one in adapted.report.classes)
    assert "not tested" in str(adapted.report)
    adapted.segment(label_raster=tmp_path / "a.tif")
    assert adapted.suggest(3) is not None


def test_polygons_of_one_pixel(tmp_path: Path) -> None:
    found = [(name, pixel_box(5 + 24 * (n // 4), 5 + 24 * (n % 4), 1)) for n, name in enumerate("abcabcab")]
    adapted = adapt(scene_in(tmp_path), found)
    assert len(adapted.cells) == len(np.unique(adapted.cells.polygon)) == 8
    assert len(adapted.segment(label_raster=tmp_path / "a.tif").facts["pixels"]) == 3


def test_polygons_that_cover_no_centre(tmp_path: Path) -> None:
    found = [
        (name, shapely.transform(one, lambda xy: xy.mean(0) + (xy - xy.mean(0)) * 0.01 + 0.3))
        for name, one in polygons_of()
    ]
    check_refused("no polygon", scene_in(tmp_path), found)
    assert len(adapt(scene_in(tmp_path), found, all_touched=True).cells) >= len(found)


def test_polygons_on_nodata_alone(tmp_path: Path) -> None:
    truth = truth_of(draw_squares(HEIGHT, WIDTH), HEIGHT, WIDTH)
    image = draw_image(truth)
    image[:, :, 50:] = 0
    scene = write_scene(tmp_path / "a.tif", image, nodata=0)
    check_refused("no polygon covers a valid pixel", scene, [("a", pixel_box(5, 60, 9)), ("b", pixel_box(30, 60, 9))])
    some = [("a", pixel_box(5, 5, 9)), ("b", pixel_box(5, 30, 9)), ("b", pixel_box(30, 60, 9))]
    adapted = adapt(scene, some)
    assert adapted.cells.col.max() < 50
    assert adapted.ground.col.max() < 50
    adapted.segment(label_raster=tmp_path / "b.tif")
    assert not read(tmp_path / "b.tif")[0, :, 50:].any()


def test_a_scene_without_data(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", np.zeros((3, HEIGHT, WIDTH), np.uint8), nodata=0)
    check_refused("no valid pixel was found in scene", scene, polygons_of())


def test_a_scene_of_one_value(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", np.full((3, HEIGHT, WIDTH), 80, np.uint8))
    adapted = adapt(scene, polygons_of())
    adapted.segment(label_raster=tmp_path / "b.tif", probabilities=tmp_path / "c.tif")
    assert np.isfinite(read(tmp_path / "c.tif")).all()


def test_fifty_classes(tmp_path: Path) -> None:
    places = [(row, col) for row in range(0, 70, 10) for col in range(0, 96, 10)][:50]
    found = [(f"class {n:02}", pixel_box(row + 1, col + 1, 6)) for n, (row, col) in enumerate(places)]
    adapted = adapt(scene_in(tmp_path), found)
    assert len(adapted.class_names) == 50
    adapted.segment(tmp_path / "a.gpkg", label_raster=tmp_path / "a.tif")
    assert read(tmp_path / "a.tif").max() <= 50
    assert len(str(adapted.report).splitlines()) >= 50


def test_second_scenes_of_other_bands_or_types(tmp_path: Path) -> None:
    first = scene_in(tmp_path)
    fewer, deeper = scene_in(tmp_path, seed=1, bands=2), scene_in(tmp_path, seed=2, dtype="uint16")
    check_refused("alike in bands and type.*has 3 of uint8.*2 of uint8.*`bands=`", [first, fewer], polygons_of())
    check_refused("alike in bands and type.*3 of uint16", [first, deeper], polygons_of())


def test_labels_as_a_raster(tmp_path: Path) -> None:
    scene = scene_in(tmp_path)
    truth = truth_of(draw_squares(HEIGHT, WIDTH), HEIGHT, WIDTH)
    labels = np.where(np.indices(truth.shape).sum(axis=0) % 24 < 12, truth + 1, 0).astype(np.uint8)
    path = write_scene(tmp_path / "labels.tif", labels[None], nodata=0)
    adapted = gdl.adapt(scene, path, model=None, tile_size=64, overlap=16, cache=False)
    assert np.array_equal(adapted.cells.label, truth[adapted.cells.row, adapted.cells.col])
    assert len(adapted.class_names) == 3


def test_only_what_was_labelled_counts(tmp_path: Path) -> None:
    scene, found = scene_in(tmp_path), [one for one in polygons_of() if one[0] == "a"]
    adapted = adapt(scene, found, background="rest", labelled=pixel_box(0, 0, HEIGHT, 50))
    assert adapted.cells.col.max() < 50


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tile_size": 0}, "tiles have at least 1 pixel.*not 16 of 0"),
        ({"overlap": 60}, "share at most half of them, not 60 of 64"),
        ({"bands": ["nir"]}, "nir"),
        ({"class_field": "kind"}, "kind"),
        ({"model": "no such model"}, "no such model"),
        ({"classes": ["a", "b"]}, "c"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    check_refused(match, scene_in(tmp_path), polygons_of(), **options)


def test_a_progress_callback_may_cancel(drawn: Drawn) -> None:
    seen: list[str] = []

    def cancel(stage: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        seen.append(stage)
        if stage == "report":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gdl.adapt(drawn.scene, drawn.polygons, **SMALL, progress=cancel)
    assert list(dict.fromkeys(seen)) == ["features", "head", "report"]
