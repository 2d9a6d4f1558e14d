"""What is loaded by which part of the package, seen in one process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.xdist_group("imports")  # one process starts the other, once
PROGRAM = """
import json, sys, time
started = time.perf_counter()
import geodeeplab
seconds = time.perf_counter() - started
loaded = {"geodeeplab": list(sys.modules)}
for part in ("geodeeplab.cli", "geodeeplab.models.crf", "geodeeplab.learner", "geodeeplab.training.loop.fit"):
    __import__(part)
    loaded[part] = list(sys.modules)
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


@pytest.mark.parametrize("argv", [["--help"], ["adapt", "--help"]])
def test_help_loads_no_torch(argv: list[str]) -> None:
    program = f"""
import sys
sys.argv = ["geodeeplab", *{argv!r}]
from geodeeplab.cli import main
try:
    main()
finally:
    print(sorted({{"torch", "rasterio", "geopandas", "sklearn"}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "adapt" in done.stdout
    assert done.stderr.splitlines()[-1] == "[]"


def test_importing_models_does_not_load_numba(seen: tuple[float, dict[str, set[str]]]) -> None:
    assert "numba" not in seen[1]["geodeeplab.models.crf"]
    assert "torch" in seen[1]["geodeeplab.models.crf"]


def test_training_needs_no_vector_packages(seen: tuple[float, dict[str, set[str]]]) -> None:
    assert not {"geopandas", "pyogrio", "shapely"} & seen[1]["geodeeplab.training.loop.fit"]
    assert "lightning" in seen[1]["geodeeplab.training.loop.fit"]
