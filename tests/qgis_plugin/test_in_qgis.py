"""The plugin in QGIS: `qgis_process`, and `in_qgis.py` with the Python that QGIS belongs to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geodeeplab.cli.progress import PROTOCOL
from geodeeplab.compiled import user_caches

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"
PATIENCE_S = 800
PLUGINS = Path(".local/share/QGIS/QGIS3/profiles/default/python/plugins")

Start = Callable[..., "subprocess.Popen[str]"]
pytestmark = pytest.mark.slow


def program() -> str | None:
    """Find `qgis_process`; that of Debian 12 passes itself an option that it does not know."""
    return shutil.which("qgis_process.bin") or shutil.which("qgis_process")


def hear_ctrl_c() -> None:
    """Take SIGINT as a program in a terminal does; one in the background of a script ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Give a function that starts a program with a QGIS profile of its own, in which the plugin is linked."""
    if program() is None:
        pytest.skip("qgis_process is not installed (on Debian: apt install qgis python3-qgis qgis-providers)")
    home = tmp_path_factory.mktemp("home")
    (home / PLUGINS).mkdir(parents=True)
    (home / PLUGINS / "geodeeplab_qgis").symlink_to(ROOT / "qgis_plugin" / "geodeeplab_qgis")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    kept |= {"HOME": str(home), "XDG_CACHE_HOME": str(user_caches().parent), "XDG_RUNTIME_DIR": str(home)}
    kept |= {"QT_QPA_PLATFORM": "offscreen", "PYTHONDONTWRITEBYTECODE": "1"}

    def started(*arguments: str | Path, environment: str | Path = sys.prefix) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(one) for one in arguments],
            env=kept | {"GEODEEPLAB_ENVIRONMENT": str(environment)},
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=hear_ctrl_c,
        )

    told = end(started(str(program()), "plugins", "enable", "geodeeplab_qgis"))
    assert "geodeeplab_qgis" in told
    return started


def end(process: "subprocess.Popen[str]") -> str:
    """Wait for the end; give what was printed."""
    return process.communicate(timeout=PATIENCE_S)[0]


def run(start: Start, algorithm: str, environment: str | Path = sys.prefix, **parameters: object) -> str:
    """Run an algorithm in `qgis_process`."""
    given = [f"{name}={value}" for name, value in parameters.items()]
    return end(start(str(program()), "run", f"geodeeplab:{algorithm}", "--", *given, environment=environment))


def write_command(folder: Path, body: str, *, version: str = "0.1.0") -> Path:
    """Write a command that says it is geodeeplab and speaks its protocol."""
    path = folder / "bin" / "geodeeplab"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"""#!{sys.executable} -S
import json, signal, sys, time
def tell(event, **facts):
    print(json.dumps({{"event": event, **facts}}), file=sys.stderr, flush=True)
if "--version" in sys.argv:
    print("geodeeplab, version {version}")
    sys.exit()
tell("start", protocol={PROTOCOL}, version="{version}", command=sys.argv[1])
{body}
"""
    )
    path.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def checked(start: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `in_qgis.py` found, by check: nothing, or a traceback."""
    told = end(start(SYSTEM_PYTHON, Path(__file__).with_name("in_qgis.py"), tmp_path_factory.mktemp("checks")))
    lines = [line for line in told.splitlines() if line.startswith("{")]
    assert lines, told
    found: dict[str, str] = json.loads(lines[-1])
    return found


def test_checks_in_qgis(checked: dict[str, str]) -> None:
    assert len(checked) > 8
    assert {name: told for name, told in checked.items() if told} == {}


def test_segment_gives_what_the_command_gives(start: Start, make_raster: Callable[..., Path], tmp_path: Path) -> None:
    with rasterio.open(ROOT / "sample_data" / "scene.tif") as src:
        scene = make_raster(src.read(window=((400, 592), (400, 592))), photometric="rgb")
    told = run(start, "segment", SCENE=scene, POLYGONS=tmp_path / "a.gpkg", LABELS=tmp_path / "a.tif")
    assert "100 - done." in told
    assert (tmp_path / "a.gpkg").is_file(), told
    command = [Path(sys.executable).with_name("geodeeplab"), "segment", scene, "--label-raster", tmp_path / "b.tif"]
    subprocess.run([str(one) for one in command], check=True, timeout=PATIENCE_S)
    with rasterio.open(tmp_path / "a.tif") as ours, rasterio.open(tmp_path / "b.tif") as theirs:
        assert np.array_equal(ours.read(), theirs.read())


def test_a_missing_environment_and_one_of_another_version_are_told_in_one_line(start: Start, tmp_path: Path) -> None:
    labels = ROOT / "sample_data" / "rgbn_labels.tif"
    told = run(start, "vectorize", tmp_path / "gone", LABELS=labels, POLYGONS=tmp_path / "a.gpkg")
    assert "is not there: name another, or make one with Plugins ▸ GeoDeepLab ▸ Settings" in told
    assert "Traceback" not in told
    other = write_command(tmp_path / "other", "", version="9.9.0")
    told = run(start, "vectorize", other, LABELS=labels, POLYGONS=tmp_path / "a.gpkg")
    assert "is geodeeplab 9.9.0, and this plugin needs 0.1: make the environment anew" in told
    assert "Traceback" not in told


def test_ctrl_c_cancels_in_order_and_says_how_to_go_on(start: Start, tmp_path: Path) -> None:
    body = """
def end(*_):
    tell("error", type="Abort", message="40 % is kept: pass --resume to go on", status=1)
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
tell("progress", stage="segment", done=2, total=5, unit="px")
open(BEGUN, "w").close()
time.sleep(100)
"""
    begun = tmp_path / "begun"
    environment = write_command(tmp_path / "slow", body.replace("BEGUN", repr(str(begun))))
    scene = shutil.copy(ROOT / "sample_data" / "rgbn.tif", tmp_path)  # QGIS writes statistics beside what it opens
    given = (f"SCENE={scene}", f"POLYGONS={tmp_path / 'a.gpkg'}")
    process = start(str(program()), "run", "geodeeplab:segment", "--", *given, environment=environment)
    for _ in range(10 * PATIENCE_S):
        if begun.exists():
            break
        time.sleep(0.1)
    time.sleep(1)  # the bar is drawn
    process.send_signal(signal.SIGINT)
    told = end(process)
    assert "cancelled: 40 % is kept: tick 'Go on with a run that was cut off' to go on" in told
