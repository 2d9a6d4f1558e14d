"""Training data that needs no file."""

from collections.abc import Callable

import pytest

from geodeeplab.training.data import TrainingData
from tests.training.drawn import draw_data


@pytest.fixture
def drawn_data() -> TrainingData:
    return draw_data()


@pytest.fixture
def make_data() -> Callable[..., TrainingData]:
    return draw_data
