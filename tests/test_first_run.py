"""The first run of an installed package: kernels are compiled where nothing beside the package can be written."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine

import geodeeplab as gdl

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


def obey_permissions() -> None:
    """Let root, too, write only where permissions say so: from the next `exec` on."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of Linux")]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with labels, and with the package installed read-only."""
    folder = tmp_path_factory.mktemp("installed")
    package = Path(gdl.__file__).parent
    shutil.copytree(package, folder / "site" / package.name, ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    for path in (folder / "site").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (folder / "site").chmod(0o555)
    labels = np.random.default_rng(5).integers(0, 4, (40, 50), np.uint8).repeat(3, axis=0).repeat(3, axis=1)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 120, "width": 150, "nodata": 0}
    with rasterio.open(
        folder / "labels.tif", "w", crs="EPSG:32633", transform=Affine(1, 0, 5e5, 0, -1, 5e6), **profile
    ) as dst:
        dst.write(labels, 1)
    for name in ("a", "b"):
        (folder / name).mkdir()
    yield folder
    for path in [folder / "site", *(folder / "site").rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


def start(place: Path, name: str, *options: str, home: Path) -> subprocess.Popen[str]:
    """Start `geodeeplab vectorize` from the package in `place`."""
    code = "import geodeeplab, sys; assert geodeeplab.__file__.startswith(sys.argv.pop(1)); from geodeeplab.cli import "
    code += "main; main()"
    arguments = ["vectorize", str(place / "labels.tif"), "-o", str(place / name / "out.gpkg"), *options]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "XDG_", "COV"))}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(place / "site"), *arguments],
        env=environment | {"PYTHONPATH": str(place / "site"), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=place / name,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=obey_permissions,
    )


def layer_of(path: Path) -> list[bytes]:
    geometries: list[bytes] = [bytes(one) for one in pyogrio.raw.read(path, layer="landcover")[2]]
    return geometries


def test_two_at_once_from_a_read_only_install(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    both = [start(place, name, "--tolerance-px", "1.5", home=home) for name in ("a", "b")]
    for process in both:
        told, _ = process.communicate(timeout=1800)
        assert process.returncode == 0, told
    assert not list((place / "site").rglob("__pycache__"))
    assert list(home.rglob("kernels_trace.*.nbi"))  # so the next run need not compile
    gdl.vectorize(place / "labels.tif", place / "here.gpkg", gdl.PolygonOptions(tolerance_px=1.5))
    assert layer_of(place / "a" / "out.gpkg") == layer_of(place / "b" / "out.gpkg") == layer_of(place / "here.gpkg")


def test_where_no_cache_can_be_kept(place: Path) -> None:
    write = [sys.executable, "-c", f"open('{place}/site/x', 'w')"]
    assert subprocess.run(write, preexec_fn=obey_permissions, stderr=subprocess.DEVNULL, check=False).returncode
    process = start(place, "a", home=place / "site")
    told, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, told
    gdl.vectorize(place / "labels.tif", place / "here.gpkg")
    assert layer_of(place / "a" / "out.gpkg") == layer_of(place / "here.gpkg")
