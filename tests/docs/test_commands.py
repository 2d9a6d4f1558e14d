"""Every command that the README, the guide and the other workflows show is run, on small files under their names."""

import os
import shlex
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from geodeeplab.cli.check import FAULTY
from tests.adaptation.drawn import quick
from tests.cli.conftest import run  # noqa: F401 - a fixture
from tests.docs.blocks import ROOT, python_blocks, shell_commands
from tests.docs.sample_folder import fill_folder

Run = Callable[..., Any]

PAGES = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "index", "install", "guide", "masks", "adapting", "maps", "evaluating", "gallery", "chips", "training",
            "programs", "cluster", "web-services", "qgis", "arcgis-learn", "checking",
            "change", "instances",
        )
    ),
)  # fmt: skip
"""Pages that say how something is done. Commands of benchmarks, model cards and scripts take hours or data."""
FIRST = 3
"""Of the README's commands, those that are run with the quick tests."""
INSTALLS = "needs the network, or changes the environment; tests/test_dist.py installs and runs the wheel"
DOWNLOADS = "downloads ImageNet's weights of ResNet-50, and trains for many minutes; tests/cli/test_train.py trains"
NOT_RUN = {
    "make ": "makes environments, wheels or all tests; tests/test_dist.py builds and runs the wheel",
    "pip install": INSTALLS,
    "dask ": "starts servers for a cluster; tests/cluster/ runs workers of a cluster",
    "qgis_process ": "needs QGIS; the plugin's own tests run it where it is installed",
    "geodeeplab segment scene.tif -o landcover.gpkg --dask tcp://scheduler:8786": "needs a cluster; see tests/cluster/",
    "geodeeplab evaluate labels.tif points.gpkg": "somebody says what is there; tests/pipeline/evaluating/ does",
    "geodeeplab evaluate buildings.gpkg points.gpkg": "the same",
    "geodeeplab evaluate changes.tif points.gpkg": "the same; the page's Python has an interpretation, and runs",
    "geodeeplab segment https://host/cog.tif": "needs a server; tests/raster/ has one for URLs",
    "geodeeplab train north.tif south.tif": DOWNLOADS,
    "geodeeplab train scene.tif": DOWNLOADS,
    "geodeeplab segment scene.tif -o crops.gpkg --model fields.safetensors": "the model of the training above",
    "geodeeplab segment scene.tif -o houses.gpkg --model houses.safetensors": "the model of the training above",
    "geodeeplab vectorize labels.tif -o houses.gpkg --instances": "needs boundaries; tests/cli/test_instances.py",
}
"""Beginnings of commands that are not run, and why."""
NO_CLUSTER = "needs a cluster"
PYTHON_NOT_RUN = {
    "docs/guide.md": {"load_pretrained": "downloads torchvision's weights, or reads somebody's file"},
    "docs/cluster.md": {"SLURMCluster": NO_CLUSTER, "KubeCluster": NO_CLUSTER, "coiled": NO_CLUSTER},
    "docs/training.md": {"prepare_data": DOWNLOADS},
    "docs/instances.md": {
        "prepare_data": DOWNLOADS,
        "houses.safetensors": "somebody's model; tests/pipeline/test_instances.py has one",
    },
    "docs/arcgis-learn.md": {"prepare_data": "an export of ArcGIS Pro; tests/test_arcgis_learn.py draws one"},
    "docs/chips.md": {"prepare_data": "a fragment about folders of chips; tests/training/folders/ reads them"},
}
"""By page, what a Python block has in it that is not run, and why."""
OUTPUTS = ("-o", "--label-raster", "--confidence", "--probabilities", "--map", "--save", "--suggest", "--report",
           "--statuses", "--faults", "--points", "--figure", "--html")  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, to be copied."""
    folder = tmp_path_factory.mktemp("sample")
    fill_folder(folder)
    return folder


@pytest.fixture
def folder(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the files, which commands run in."""
    place = tmp_path / "place"
    shutil.copytree(sample, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("GEODEEPLAB_CACHE_DIR", str(tmp_path / "cache"))
    return place


def reason(command: str) -> str | None:
    """Say why a command is not run; None for one that is."""
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


def failed(run: Run, folder: Path, command: str) -> str:  # noqa: F811 - the fixture
    """Run a command in a folder, and give what went wrong; what it writes is put away first, as if it were alone."""
    program, *argv = shlex.split(command)
    assert program == "geodeeplab", f"{command}: neither run nor named in NOT_RUN"
    reads_confidence = argv[0] in ("evaluate", "vectorize")
    for option, value in pairwise(argv):
        path = folder / value
        if option in OUTPUTS and not (option == "--confidence" and reads_confidence):
            for one in (path, Path(f"{path}.aux.xml")):
                shutil.rmtree(one) if one.is_dir() else one.unlink(missing_ok=True)
    ran = run(*argv)
    went_well = ran.status in ((0, FAULTY) if argv[0] == "check" else (0,))
    return "" if went_well else f"{command}\n{ran.out}{ran.err}"


@pytest.mark.slow
def test_the_first_commands_of_the_readme(run: Run, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    with quick(tmp_path / "cache"):
        for command in shell_commands("README.md")[:FIRST]:
            assert not failed(run, folder, command)
    assert {"landcover.gpkg", "landcover.html", "mine.gpkg", "mine.html"} <= set(os.listdir(folder))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page(run: Run, folder: Path, page: str) -> None:  # noqa: F811
    for command in shell_commands(page):
        assert reason(command) is not None or not failed(run, folder, command)


def test_what_is_not_run_is_there() -> None:
    commands = [command for page in PAGES for command in shell_commands(page)]
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in commands)] == []
    unknown = [one for one in commands if not one.startswith("geodeeplab ") and reason(one) is None]
    assert unknown == []
    sources = {page: [source for _, source in python_blocks(page)] for page in PYTHON_NOT_RUN}
    assert [
        (page, part)
        for page, parts in PYTHON_NOT_RUN.items()
        for part in parts
        if not any(part in source for source in sources[page])
    ] == []


def test_pages_are_all_there_is() -> None:
    others = {"architecture", "benchmarks", "deeplab-line", "glossary", "labels", "which-tool"}
    told = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {Path(page).stem for page in PAGES[1:]} | others == told


def test_what_a_reader_would_type_is_found() -> None:
    assert shell_commands("README.md")[0] == "geodeeplab info scene.tif"
    assert all("#" not in command for command in shell_commands("README.md"))
    assert any(command.startswith("pip install") for command in shell_commands("docs/install.md"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", [page for page in PAGES if any(python_blocks(page))])
def test_python_of_a_page(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """Blocks of a page share their names, and each begins with the files alone."""
    import numpy as np
    from torch import nn

    import geodeeplab as gdl

    monkeypatch.setenv("GEODEEPLAB_CACHE_DIR", str(tmp_path / "cache"))
    names: dict[str, Any] = {"gdl": gdl, "network": nn.Conv2d(3, 2, 1), "tiles": np.zeros((1, 3, 768, 768), np.float32)}
    blocks = [*python_blocks(page)]
    run_blocks = [one for one in blocks if not any(part in one[1] for part in PYTHON_NOT_RUN.get(page, {}))]
    assert run_blocks or page in PYTHON_NOT_RUN
    for line, source in run_blocks:
        place = tmp_path / f"line-{line}"
        shutil.copytree(sample, place)
        monkeypatch.chdir(place)
        for made, make in (("sure.tif", _confidence), ("landcover-aerial.onnx", _onnx), ("landcover.tif", _labels)):
            if f'"{made}"' in source and f'label_raster="{made}"' not in source:
                make(place / made)
        exec(compile("\n" * (line - 1) + source, str(ROOT / page), "exec"), names)


def _confidence(path: Path) -> None:
    import geodeeplab as gdl

    gdl.segment("scene.tif", "landcover.gpkg", confidence=path)


def _labels(path: Path) -> None:
    shutil.copyfile("labels.tif", path)


def _onnx(path: Path) -> None:
    from geodeeplab.models import export_onnx, load_model

    model = load_model("landcover-aerial")
    export_onnx(model.network, model.contract, path)
