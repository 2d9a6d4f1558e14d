"""Features of the labelled ground are those that the saved model computes in a run, to the bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from torch import Tensor

import geodeeplab as gdl
from geodeeplab.adaptation import gathering
from geodeeplab.adaptation.adapt import choose_gsd
from geodeeplab.adaptation.tiles import TileFeatures, iter_features
from geodeeplab.models import AdaptedNetwork
from geodeeplab.raster import Grid
from tests.adaptation.drawn import SMALL, Drawn, draw_image, draw_polygons, draw_squares, truth_of, write_scene
from tests.examples import few

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "even": {"shape": (128, 160)},
    "smaller than a tile": {"shape": (55, 62)},
    "nodata": {"hole": True, "profile": {"nodata": 0}},
    "one band in decibels": {"image": {"bands": 1, "dtype": "float32"}},
    "four bands of 16 bits": {
        "image": {"bands": 4, "dtype": "uint16"},
        "names": ("blue", "green", "red", "nir"),
        "shape": (131, 70),
    },
    "two bands without names": {"image": {"bands": 2}, "shape": (90, 70)},
    "large overlap, odd batch": {"options": {"overlap": 32, "batch_size": 3}},
    "odd tiles": {"options": {"tile_size": 51, "overlap": 10}},
    "another pixel size": {"options": {"gsd_m": 1.5}, "run": {"gsd_m": 1.5}},
    "bf16": {"options": {"precision": "bf16"}, "run": {"precision": "bf16"}},
}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TileFeatures]:
    """The tiles that features were taken of, filled while the test adapts."""
    found: list[TileFeatures] = []

    def watched(*args: Any, **options: Any) -> Iterator[TileFeatures]:  # noqa: ANN401 - passed on
        for one in iter_features(*args, **options):
            found.append(one)
            yield one

    monkeypatch.setattr(gathering, "iter_features", watched)
    return found


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """The features that any network computes in the test, an image each."""
    found: set[bytes] = set()
    compute = AdaptedNetwork.features

    def watched(network: AdaptedNetwork, images: Tensor, valid: Tensor | None = None) -> Tensor:
        features = compute(network, images, valid)
        found.update(one.contiguous().numpy().tobytes() for one in features)
        return features

    monkeypatch.setattr(AdaptedNetwork, "features", watched)
    return found


def grid_of(*sizes: float) -> list[Grid]:
    return [Grid(shape=(9, 9), transform=Affine(one, 0, 0, 0, -one, 0), crs=CRS.from_epsg(32633)) for one in sizes]


@pytest.mark.parametrize(
    ("sizes", "wanted", "expected"),
    [
        ((1,), None, (1, None)),
        ((4.9,), None, (4.9, None)),
        ((10,), None, (10, 5)),
        ((30, 30), None, (30, 15)),
        ((10, 20), None, (15, 7.5)),
        ((10, 60), None, (35, None)),
        ((10,), "native", (10, None)),
        ((10,), 8, (10, 8)),
    ],
)
def test_coarse_scenes_are_read_at_half_their_pixel_size(
    sizes: tuple[float, ...], wanted: float | None, expected: tuple[float, float | None]
) -> None:
    assert choose_gsd(grid_of(*sizes), wanted) == pytest.approx(expected, rel=0.01)


def test_scenes_without_a_known_pixel_size_are_read_as_they_are() -> None:
    bare = Grid(shape=(9, 9), transform=Affine.identity(), crs=None)
    assert choose_gsd([*grid_of(30), bare], None) == (None, None)


@pytest.mark.parametrize("name", few(CASES, 2))
def test_they_are_those_of_the_saved_model_in_a_run(
    name: str, tmp_path: Path, trained: list[TileFeatures], computed: set[bytes]
) -> None:
    case = CASES[name]
    height, width = case.get("shape", (131, 93))
    squares = draw_squares(height, width)
    image = draw_image(truth_of(squares, height, width), **case.get("image", {}))
    if "hole" in case:
        image[:, 30:70, 60:93] = 0
    scene = write_scene(tmp_path / "a.tif", image, names=case.get("names", ()), **case.get("profile", {}))
    options = SMALL | case.get("options", {})
    adapted = gdl.adapt(scene, draw_polygons(squares, height, width), **options, cache=False)
    adapted.save(tmp_path / "m.safetensors")
    computed.clear()
    batch = {key: value for key, value in options.items() if key == "batch_size"}
    gdl.segment(
        scene, label_raster=tmp_path / "b.tif", model=tmp_path / "m.safetensors", **batch, **case.get("run", {})
    )
    assert trained
    assert {one.features.tobytes() for one in trained} <= computed
    check_cells(adapted, trained)


def check_cells(adapted: gdl.Adaptation, trained: list[TileFeatures]) -> None:
    """Check that each cell has the features of its place in some tile, and its class."""
    for cells in (adapted.cells, adapted.ground):
        assert len(cells) > 50
        for row, col, features in list(zip(cells.row, cells.col, cells.features, strict=True))[::7]:
            found = [
                one.features[:, (row - one.tile.row_start) // 2, (col - one.tile.col_start) // 2]
                for one in trained
                if 0 <= row - one.tile.row_start < len(one.valid) and 0 <= col - one.tile.col_start < len(one.valid)
            ]
            assert any(np.array_equal(features, one) for one in found)


def test_of_several_scenes(tmp_path: Path, trained: list[TileFeatures], computed: set[bytes]) -> None:
    squares = [draw_squares(100, 75, seed=seed) for seed in range(2)]
    scenes = [
        write_scene(tmp_path / f"{number}.tif", draw_image(truth_of(one, 100, 75), seed=number))
        for number, one in enumerate(squares)
    ]
    adapted = gdl.adapt(scenes, [draw_polygons(one, 100, 75) for one in squares], **SMALL, cache=False)
    assert set(adapted.cells.scene) == set(adapted.ground.scene) == {0, 1}
    computed.clear()
    for number, scene in enumerate(scenes):
        adapted.segment(label_raster=tmp_path / f"map{number}.tif", scene=scene)
    assert {one.features.tobytes() for one in trained} <= computed
    with pytest.raises(gdl.OptionError, match=r"made from 2 scenes: name the one to map, `scene=`"):
        adapted.segment(label_raster=tmp_path / "c.tif")


@pytest.mark.slow
def test_of_the_bundled_model_too(tmp_path: Path, trained: list[TileFeatures], computed: set[bytes]) -> None:
    squares = draw_squares(75, 75)
    scene = write_scene(tmp_path / "a.tif", draw_image(truth_of(squares, 75, 75)))
    adapted = gdl.adapt(scene, draw_polygons(squares, 75, 75), **SMALL | {"model": "auto"})
    assert "landcover-aerial" in adapted.model.contract.provenance["features"]
    computed.clear()
    gdl.segment(scene, label_raster=tmp_path / "b.tif", model=adapted.save(tmp_path / "m.safetensors"))
    assert {one.features.tobytes() for one in trained} <= computed


def test_a_saved_model_is_the_same_to_the_bit(adapted: gdl.Adaptation, tmp_path: Path) -> None:
    loaded = gdl.load_model(adapted.save(tmp_path / "m.safetensors"))
    own, theirs = adapted.network.state_dict(), loaded.network.state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key], theirs[key]) for key in own)
    assert loaded.contract == adapted.model.contract


def cells_of(adapted: gdl.Adaptation, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    return truth[adapted.cells.row, adapted.cells.col]


def test_cells_have_the_class_of_their_polygon(adapted: gdl.Adaptation, drawn: Drawn) -> None:
    cells = adapted.cells
    assert np.array_equal(cells.label, cells_of(adapted, drawn.truth))
    assert len(np.unique(np.stack([cells.row, cells.col]), axis=1).T) == len(cells), "none is taken twice"
    assert len(np.unique(cells.polygon)) == len(drawn.polygons)
    assert {tuple(one) for one in np.stack([cells.row % 2, cells.col % 2]).T} == {(0, 0)}


@pytest.mark.slow
def test_classes_have_the_colours_of_the_model_to_adapt(drawn: Drawn, tiny_model: Path) -> None:
    known = {item.name: item.color for item in gdl.load_model(tiny_model).contract.classes}
    first = next(iter(known))
    named = drawn.polygons.assign(**{"class": drawn.polygons["class"].replace({"b": first})})
    adapted = gdl.adapt(drawn.scene, named, **SMALL | {"model": tiny_model})
    of_class = {item.name: item.color for item in adapted.model.contract.classes}
    assert of_class[first] == known[first]
    assert len(set(of_class.values())) == 3
