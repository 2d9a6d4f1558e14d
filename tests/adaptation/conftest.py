"""What the tests of adaptations share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import geodeeplab as gdl
from tests.adaptation.drawn import SMALL, Drawn, draw_image, draw_polygons, draw_squares, quick, truth_of, write_scene


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where features of all tests' scenes are kept, so that none is computed twice."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def quickly(features: Path) -> Iterator[None]:
    with quick(features):
        yield


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """A scene of 131 × 180 pixels, of three classes."""
    squares = draw_squares(131, 180)
    truth = truth_of(squares, 131, 180)
    scene = write_scene(tmp_path_factory.mktemp("drawn") / "scene.tif", draw_image(truth))
    return Drawn(scene=scene, polygons=draw_polygons(squares, 131, 180), truth=truth)


@pytest.fixture(scope="session")
def adapted(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> gdl.Adaptation:
    """The scene's model, well trained."""
    with quick(tmp_path_factory.mktemp("cache"), steps=200):
        return gdl.adapt(drawn.scene, drawn.polygons, **SMALL, cache=False)
