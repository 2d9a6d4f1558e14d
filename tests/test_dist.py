"""The distributions: what is in them, and that the wheel runs by itself."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST_BYTES = 64_000_000  # three models, and weights to start from
PATIENCE_S = 600


def test_classifiers_name_only_versions_of_python_that_the_tests_run_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [one.rpartition(" :: ")[2] for one in project["classifiers"] if "Python :: 3." in one]
    assert named == ["3.11"]
    assert project["requires-python"] == ">=3.11"
    assert "(Python 3.11)" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[0]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


def run(*argv: object, cwd: Path) -> str:
    """Run a program without this tree on its path; give what it printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(one) for one in argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_what_is_in_them(dist: Path) -> None:
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert max(wheel.stat().st_size, sdist.stat().st_size) < LARGEST_BYTES
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, cwd=dist)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "geodeeplab").rglob("*.py")}
    assert sources <= names
    assert {name.partition("/")[0] for name in names} == {"geodeeplab", metadata.partition("/")[0]}
    models = {"landcover-aerial", "buildings-aerial", "landcover-satellite"}
    bundled = {"scene.tif", *(f"{name}.safetensors" for name in models)}
    assert {f"geodeeplab/bundled/{name}" for name in bundled} | {"geodeeplab/py.typed"} <= names
    assert told["License-Expression"] == "Apache-2.0"
    assert {one.partition(">")[0] for one in told.get_all("Requires-Dist", []) if "extra" not in one} >= {"torch"}
    with tarfile.open(sdist) as archive:
        inner = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "sample_data/scene.tif"} <= inner
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in inner)


@pytest.mark.slow
def test_the_wheel_runs_without_the_source_tree(dist: Path, tmp_path: Path) -> None:
    """In an environment of its own, which sees the other packages of this one, so that none is downloaded."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)}, scheme="venv")
    python = Path(paths["scripts"]) / ("python.exe" if os.name == "nt" else "python")
    (wheel,) = dist.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # A .pth file adds a folder after those of the environment, and does not follow the .pth files in it.
    (Path(paths["purelib"]) / "others.pth").write_text(sysconfig.get_paths()["purelib"])
    where = run(python, "-c", "import geodeeplab; print(geodeeplab.__file__, geodeeplab.__version__)", cwd=tmp_path)
    assert Path(where.split()[0]).is_relative_to(home)
    told = run(Path(paths["scripts"]) / "geodeeplab", "demo", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"landcover.gpkg", "landcover.tif", "landcover.png"}
    assert " px in " in told
