"""What the tests of the pipeline share."""

from pathlib import Path

import pytest

import geodeeplab as gdl
from geodeeplab.models import Model


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> Model:
    return gdl.load_model(tiny_model)
