"""What is loaded by which part of the package, seen in one process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("imports")  # one process starts the other, once
MakeRaster = Callable[..., Path]
PROGRAM = """
import json, sys, time
started = time.perf_counter()
import geodeeplab
seconds = time.perf_counter() - started
loaded = {"geodeeplab": list(sys.modules)}
for part in ("cli", "models.crf", "models.build", "learner", "training.loop.fit"):
    __import__(f"geodeeplab.{part}")
    loaded[f"geodeeplab.{part}"] = list(sys.modules)
print(json.dumps({"seconds": seconds, "loaded": loaded}))
"""


@pytest.fixture(scope="module")
def seen() -> tuple[float, dict[str, set[str]]]:
    """The seconds that `import geodeeplab` took, and what was loaded after each import."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return found["seconds"], {part: set(names) for part, names in found["loaded"].items()}


def test_importing_costs_nothing(
    seen: tuple[float, dict[str, set[str]]], record_property: Callable[[str, object], None]
) -> None:
    seconds, loaded = seen
    heavy = {"torch", "numpy", "rasterio", "geopandas", "pyproj", "numba", "click"}
    assert not heavy & loaded["geodeeplab"]
    assert not {"torch", "rasterio", "geopandas"} & loaded["geodeeplab.cli"]
    record_property("import_geodeeplab_s", seconds)
    print(f"import geodeeplab: {seconds:.4f} s")  # reported, not asserted: machines differ


WITHOUT_TORCH = [
    ["--help"],
    ["adapt", "--help"],
    ["models"],
    ["info", "{scene}"],
    ["segment", "{scene}", "-o", "a.doc"],
    ["segment", "{scene}", "-o", "a.gpkg", "--model", "none"],
    ["segment", "none.tif", "-o", "a.gpkg"],
    ["adapt", "none.tif", "--labels", "none.gpkg"],
    ["train", "none.tif", "--labels", "none.gpkg", "-o", "a.safetensors"],
    ["chips", "none.tif", "--labels", "none.gpkg", "-o", "chips"],
    ["vectorize", "{labels}", "-o", "a.gpkg"],
    ["evaluate", "{labels}", "{labels}"],
    ["map", "{scene}", "--labels", "{labels}", "-o", "a.html"],
]


def test_commands_that_need_no_torch_load_none(make_raster: MakeRaster, tmp_path: Path) -> None:
    """All in one process, one after the other; those that write files come last, as they need more than the others."""
    paths = {
        "scene": make_raster(np.ones((3, 8, 8), np.uint8), "scene.tif", photometric="rgb"),
        "labels": make_raster(np.ones((1, 8, 8), np.uint8), "labels.tif"),
    }
    commands = [[part.format(**paths) for part in argv] for argv in WITHOUT_TORCH]
    program = f"""
import json, sys
from geodeeplab.cli import main
found = []
for argv in {commands!r}:
    sys.argv = ["geodeeplab", *argv]
    try:
        main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code
    names = {{"torch", "torchvision", "sklearn", "lightning", "rasterio", "geopandas"}}
    found.append([status or 0, sorted(names & set(sys.modules))])
print(json.dumps(found), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    found = json.loads(done.stderr.splitlines()[-1])
    assert [status for status, _ in found] == [0] * 4 + [1] * 6 + [0] * 3, done.stderr
    assert [names for _, names in found[:3]] == [[], [], []]
    assert {tuple(names) for _, names in found[3:10]} == {("rasterio",)}
    assert {tuple(names) for _, names in found[10:]} <= {("rasterio",), ("geopandas", "rasterio")}


def test_torchvision_waits_until_one_of_its_networks_is_built(seen: tuple[float, dict[str, set[str]]]) -> None:
    loaded = seen[1]["geodeeplab.models.build"]
    assert {"torch", "geodeeplab.models.backbones.resnet", "geodeeplab.models.weights.pretrained"} <= loaded
    assert not {"torchvision", "numba"} & loaded


def test_training_needs_no_vector_packages(seen: tuple[float, dict[str, set[str]]]) -> None:
    assert not {"geopandas", "pyogrio", "shapely"} & seen[1]["geodeeplab.training.loop.fit"]
    assert "lightning" in seen[1]["geodeeplab.training.loop.fit"]
