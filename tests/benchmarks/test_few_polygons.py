"""Polygons are of their class and never scored; trees weigh them alike; tables hold what the runs say."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.features import rasterize

from few_polygons import balance, score
from few_polygons_pairs import (
    CLASS_FIELD,
    SETS,
    LabelledScene,
    draw_polygons,
    number_polygons,
    write_polygons,
    write_scene,
)
from few_polygons_tables import PALETTE, claimed_and_true, tables, write_maps

NAMES = ("water", "land", "road")


@pytest.fixture
def scene() -> LabelledScene:
    """Three classes in blocks of 40 px and a strip without labels; the road is rare."""
    random = np.random.default_rng(2)
    ids = random.choice(np.array([1, 2], dtype=np.uint8), (7, 6)).repeat(40, axis=0).repeat(40, axis=1)
    ids[:, 100:130], ids[:, -20:] = 3, 0
    image = random.integers(0, 2000, (4, *ids.shape), dtype=np.uint16)
    bands = ("blue", "green", "red", "nir")
    transform = Affine(30, 0, 300_000, 0, -30, 4_000_000)
    return LabelledScene(image=image, bands=bands, ids=ids, classes=NAMES, crs="EPSG:32612", transform=transform)


@pytest.mark.parametrize("inset", [0, 5])
def test_polygons_are_of_their_class_and_not_scored(scene: LabelledScene, inset: int) -> None:
    drawn = draw_polygons(scene, 3, seed=1, inset=inset)
    where = drawn.polygons > 0
    assert drawn.ids == (1, 2, 3)
    assert np.array_equal(drawn.polygons[where], scene.ids[where])
    assert not drawn.truth[where].any()
    scored = drawn.truth > 0
    assert np.array_equal(drawn.truth[scored], scene.ids[scored])
    for row, col in zip(*np.nonzero(where), strict=True):
        near = scene.ids[max(0, row - inset) : row + inset + 1, max(0, col - inset) : col + inset + 1]
        assert (near == scene.ids[row, col]).all()


def test_one_polygon_reaches_16_px_before_and_20_after_its_cell(scene: LabelledScene) -> None:
    whole = LabelledScene(**{**vars(scene), "ids": np.full((200, 200), 2, dtype=np.uint8)})
    drawn = draw_polygons(whole, 1, seed=0)
    assert drawn.ids == (2,)
    rows, cols = np.nonzero(drawn.polygons)
    assert np.ptp(rows) < 36
    assert np.ptp(cols) < 36
    assert np.array_equal(drawn.truth == 0, drawn.polygons > 0)


def test_the_seed_decides(scene: LabelledScene) -> None:
    first, same, other = (draw_polygons(scene, 3, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.polygons, same.polygons)
    assert not np.array_equal(first.polygons, other.polygons)


def test_a_class_that_would_be_drawn_nearly_whole_is_left_out(scene: LabelledScene) -> None:
    ids = np.where(scene.ids == 3, np.uint8(2), scene.ids)
    ids[50:80, 50:80] = 3
    drawn = draw_polygons(LabelledScene(**{**vars(scene), "ids": ids}), 3, seed=0)
    assert drawn.ids == (1, 2)
    assert not np.isin(3, [drawn.polygons, drawn.truth])
    assert "road is left out" in drawn.notes[0]


def test_files_hold_what_was_drawn(scene: LabelledScene, tmp_path: Path) -> None:
    drawn = draw_polygons(scene, 2, seed=3)
    layer = gpd.read_file(write_polygons(scene, drawn.polygons, tmp_path / "few.gpkg"))
    assert len(layer) == number_polygons(drawn.polygons, drawn.ids).max()
    burnt = rasterize(
        [(one, NAMES.index(name) + 1) for one, name in zip(layer.geometry, layer[CLASS_FIELD], strict=True)],
        out_shape=scene.ids.shape,
        transform=scene.transform,
        dtype=np.uint8,
    )
    assert np.array_equal(burnt, drawn.polygons)
    with rasterio.open(write_scene(scene, tmp_path / "scene.tif")) as src:
        assert src.descriptions == scene.bands
        assert np.array_equal(src.read(), scene.image)


def test_polygons_weigh_alike_within_a_class_and_classes_alike() -> None:
    ids, polygons = np.array([1, 1, 1, 1, 2, 2]), np.array([1, 1, 1, 2, 3, 3])
    weights = balance(ids, polygons)
    assert weights.mean() == pytest.approx(1)
    assert weights[:3].sum() == pytest.approx(weights[3])
    assert weights[ids == 1].sum() == pytest.approx(weights[ids == 2].sum())


def test_only_true_ground_is_scored() -> None:
    truth = np.array([[1, 1, 2, 2, 0]], dtype=np.uint8)
    assert score(np.array([[1, 3, 2, 2, 2]], dtype=np.uint8), truth, (1, 2)) == [0.5, 1.0]


def test_tables_and_pictures(scene: LabelledScene, tmp_path: Path) -> None:
    spent = {"fit_s": [4.0, 2.0], "map_s": [3.0, 1.0]}
    report = {
        "mean_iou": [0.7, 0.6, 0.8],
        "classes": [{"name": "land", "iou": [0.7, 0.6, 0.8]}, {"name": "water", "iou": None}],
    }
    run = {"set": "zion", "n": 5, "inset": 0, "classes": ["water", "land"], "notes": ["road is left out"]}
    run |= {"polygons": 11, "report": report, "features_s": [2.0, 1.0]}
    methods = {"forest": [0.5, 0.6], "boosted": [0.4, 0.5], "adapted": [0.6, 0.7]}
    run["methods"] = {name: {"iou": found, **spent} for name, found in methods.items()}
    assert claimed_and_true(run) == (0.7, 0.6, 0.8, 0.7)
    text = tables([run])
    assert "| zion | 5 | 11 |  | 0.550 (0.550–0.550) | 0.450 (0.450–0.450) | 0.650 (0.650–0.650) | +0.100 |" in text
    assert "| zion | 5 | 0.700 | 0.700 | +0.000 | 0.000 | 1 of 1 | 1 of 1 |" in text
    assert "zion, N=5: road is left out" in text
    maps = dict.fromkeys(("polygons", "truth", "forest", "adapted"), scene.ids)
    write_maps(tmp_path / "maps.png", scene, maps)
    assert (tmp_path / "maps.png").stat().st_size > 1000


def test_every_set_is_read_by_a_function_and_classes_have_colours() -> None:
    assert {"dubai6", "dubai2", "zion", "hls30", "ohio", "banepa", "kampala"} <= set(SETS)
    assert set(NAMES) <= set(PALETTE)
