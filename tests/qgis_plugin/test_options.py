"""Options that dialogs ask for are those of the commands; QGIS is pretended, so that no installation is needed."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import click
import pytest

from geodeeplab.cli import commands

PLUGIN = "qgis_plugin.geodeeplab_qgis"
ALGORITHMS = {"segment": "Segment", "adapt": "Adapt", "suggest": "Suggest", "vectorize": "Vectorize",
              "evaluate": "Evaluate", "train": "Train"}  # fmt: skip
SQUARE = {"SQUARE": "--square", "SQUARE_TOLERANCE_PX": "--square-tolerance-px"}
OBJECTS = {"INSTANCES": "--instances", "BOUNDARY_THRESHOLD": "--boundary-threshold", "MIN_MARKER_PX": "--min-marker-px"}


class Pretended:
    """Anything of QGIS's: a class to derive from, a parameter with a name, a constant."""

    def __init__(self, name: str = "", *_: object, **__: object) -> None:
        self._name = name

    def name(self) -> str:
        """Give the name that it was made with."""
        return self._name

    def flags(self) -> int:
        """Give no flags."""
        return 0

    def setFlags(self, flags: int) -> None:
        """Take flags."""

    FlagAdvanced = Integer = Double = TypeRaster = TypeVectorPolygon = 0


class PretendedModule(ModuleType):
    """A module of QGIS in which every name is `Pretended`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []  # so it may have modules below it

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Pretended


@pytest.fixture(autouse=True)
def pretended_qgis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the algorithms be imported; what was imported with it is forgotten."""
    names = ("qgis", "qgis.core", "qgis.PyQt", "qgis.PyQt.QtCore", "qgis.PyQt.QtGui", "qgis.PyQt.QtWidgets")
    before = dict(sys.modules)
    sys.modules |= {name: PretendedModule(name) for name in names}
    monkeypatch.setattr(importlib.import_module(f"{PLUGIN}.settings"), "made_models", list)
    yield
    for name in sys.modules.keys() - before.keys():
        if name.startswith(("qgis", PLUGIN)):
            del sys.modules[name]


def declared_options(name: str) -> tuple[str, dict[str, str | None]]:
    """Give the command of an algorithm, and the option of each parameter."""
    module = importlib.import_module(f"{PLUGIN}.algorithms.{name}")
    algorithm: Any = getattr(module, ALGORITHMS[name])()
    return algorithm.command_name, {one.parameter.name(): one.option for one in algorithm.declare()}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_option_is_one_of_the_command(name: str) -> None:
    command_name, options = declared_options(name)
    command = commands.get_command(click.Context(commands), command_name)
    assert command is not None
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    assert {option for option in options.values() if option} <= known


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("segment", SQUARE | OBJECTS),
        ("vectorize", SQUARE | OBJECTS | {"BOUNDARY": "--boundary"}),
        ("adapt", SQUARE),
        ("train", {"INSTANCES": "--instances"}),
    ],
)
def test_buildings_can_be_squared_and_told_apart(name: str, wanted: dict[str, str]) -> None:
    assert wanted.items() <= declared_options(name)[1].items()
