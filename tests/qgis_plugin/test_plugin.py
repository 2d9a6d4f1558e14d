"""The plugin as a whole: what it may import, what it says of itself, what is in its zip."""

import ast
import configparser
import importlib
import re
import tomllib
import zipfile
from pathlib import Path

import pytest

from qgis_plugin import make_zip
from qgis_plugin.geodeeplab_qgis.engine.models import Card, load_cards, to_card
from qgis_plugin.geodeeplab_qgis.engine.report import write_page

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "qgis_plugin" / "geodeeplab_qgis"
OLDEST = (3, 9)
SOURCES = sorted(PLUGIN.rglob("*.py"))


@pytest.fixture(scope="module")
def metadata() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(PLUGIN / "metadata.txt", encoding="utf-8")
    return parser["general"]


def imported(path: Path) -> set[str]:
    """Name what a file imports from elsewhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=OLDEST)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PLUGIN)))
def test_it_imports_nothing_that_qgis_does_not_bring(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imported(path)}
    assert not roots & {"geodeeplab", "torch", "numpy", "PyQt5", "PyQt6", "osgeo"}
    if path.parent.name == "engine":
        assert not roots & {"qgis", "processing"}


def test_the_version_is_that_of_the_package(metadata: configparser.SectionProxy) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["version"] == re.match(r"[\d.]*\d", project["version"].partition(".dev")[0])[0]  # type: ignore[index]


def test_metadata_say_what_qgis_asks_for(metadata: configparser.SectionProxy) -> None:
    assert metadata["hasProcessingProvider"] == "yes"
    assert metadata["qgisMinimumVersion"] == "3.22"
    assert "Not tested" in metadata["about"]
    assert (PLUGIN / metadata["icon"]).is_file()
    assert "GNU GENERAL PUBLIC LICENSE" in (PLUGIN / "LICENSE").read_text()


def test_the_cards_are_those_of_the_bundled_models() -> None:
    told = (PLUGIN / "models.json").read_text(encoding="utf-8")
    assert told == make_zip.cards_json(), "run qgis_plugin/make_zip.py --cards"
    names = [card.name for card in load_cards(PLUGIN / "models.json")]
    assert names == ["landcover-aerial", "buildings-aerial", "landcover-satellite"]


def test_a_card_shows_names_as_text() -> None:
    card = to_card({"name": "<b>", "bands": [{"name": "red"}], "classes": [{"name": "a&b"}], "gsd_m": None})
    assert card == Card(name="<b>", bands="red", classes="a&b", gsd_m=None, licence="", scores="")
    assert "&lt;b&gt;" in card.to_html()
    assert "a&amp;b" in card.to_html()


def test_a_page_holds_what_was_printed_as_text(tmp_path: Path) -> None:
    picture = tmp_path / "figures.png"
    write_page(tmp_path / "page.html", "A <title>", ["class  IoU", "<script>"], picture)
    told = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>" not in told
    assert "class  IoU\n&lt;script&gt;" in told
    assert picture.as_uri() in told
    write_page(tmp_path / "page.html", "A title", [], Path("relative.png"))
    assert Path("relative.png").absolute().as_uri() in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_zip_is_the_folder_that_qgis_takes_with_the_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "geodeeplab-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    path = tmp_path / "out" / "plugin.zip"
    make_zip.write_zip(path, wheel)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"geodeeplab_qgis"}
    inner = {name.partition("/")[2] for name in names}
    assert {
        "__init__.py",
        "metadata.txt",
        "LICENSE",
        "README.md",
        "icon.svg",
        "models.json",
        "engine/process.py",
    } <= inner
    assert f"wheel/{wheel.name}" in inner
    assert not any("__pycache__" in name for name in names)
    first = path.read_bytes()
    make_zip.write_zip(path, wheel)
    assert path.read_bytes() == first


def test_the_engine_loads_without_qgis() -> None:
    for path in (PLUGIN / "engine").glob("*.py"):
        importlib.import_module(f"qgis_plugin.geodeeplab_qgis.engine.{path.stem}")
