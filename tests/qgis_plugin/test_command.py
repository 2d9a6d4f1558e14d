"""Commands that are followed to their end, cancelled, or die: against small programs that speak the protocol."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qgis_plugin.geodeeplab_qgis.engine.command import GO_ON, run_command
from qgis_plugin.geodeeplab_qgis.engine.errors import CancelledError, CommandError, PluginError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="asks processes to end by signals")

PRELUDE = """
import json, signal, sys, time
def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), file=sys.stderr, flush=True)
tell("start", protocol=1, version="0.1.0", command="segment")
"""


class Heard:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.percents: list[float] = []
        self.lines: list[tuple[str, str]] = []
        self.cancel_when: Callable[[], bool] = lambda: False

    def is_cancelled(self) -> bool:
        return self.cancel_when()

    def progress(self, percent: float) -> None:
        self.percents.append(percent)

    def stage(self, text: str) -> None:
        self.lines.append(("stage", text))

    def message(self, text: str) -> None:
        self.lines.append(("message", text))

    def warning(self, text: str) -> None:
        self.lines.append(("warning", text))

    def log(self, text: str) -> None:
        self.lines.append(("log", text))


def run(tmp_path: Path, program: str, heard: Heard, *, grace_s: float = 20.0) -> object:
    """Run a program of Python that follows the prelude, in place of geodeeplab."""
    script = tmp_path / "program.py"
    script.write_text(PRELUDE + program)
    command = Path(sys.executable)
    return run_command(command, ["-S", str(script)], stages=("segment",), listener=heard, grace_s=grace_s)


def test_all_that_is_told_is_heard_and_the_facts_come_back(tmp_path: Path) -> None:
    heard = Heard()
    told = run(
        tmp_path,
        """
print("a closing line ü")
tell("progress", stage="segment", done=1, total=2, unit="px")
tell("warning", message="no CRS")
tell("message", message="a report")
print("Warning 1: GDAL", file=sys.stderr)
tell("done", outputs=["a.gpkg"], facts={"polygons": 3})
""",
        heard,
    )
    assert isinstance(told, dict)
    assert told["facts"] == {"polygons": 3}
    assert heard.percents == [50]
    assert {("message", "a closing line ü"), ("warning", "no CRS"), ("message", "a report")} <= set(heard.lines)
    assert ("log", "Warning 1: GDAL") in heard.lines


def test_an_error_is_the_commands_own_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"^scene has 1 band$"):
        run(tmp_path, 'tell("error", message="scene has 1 band", status=1); sys.exit(1)', Heard())


def test_a_crash_is_told_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="ended with 1; its last line: ValueError: oh"):
        run(tmp_path, 'raise ValueError("oh")', Heard())
    with pytest.raises(CommandError, match=r"was killed \(signal 9\)"):
        run(tmp_path, "import os; os.kill(os.getpid(), 9)", Heard())


def test_another_protocol_is_refused_and_the_command_ended(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(PluginError, match="protocol 7"):
        run(tmp_path, 'tell("start", protocol=7); time.sleep(60)', Heard())
    assert time.monotonic() - begun < 50


def test_who_cancels_lets_it_end_in_order_and_hears_how_to_go_on(tmp_path: Path) -> None:
    heard = Heard()
    heard.cancel_when = lambda: bool(heard.percents)
    with pytest.raises(CancelledError, match=f"cancelled: 40 % is kept: tick '{GO_ON}' to go on"):
        run(
            tmp_path,
            """
def end(*_):
    tell("error", type="Abort", message="40 % is kept: pass --resume to go on", status=1)
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
tell("progress", stage="segment", done=2, total=5, unit="px")
time.sleep(60)
""",
            heard,
        )


def test_what_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    heard = Heard()
    heard.cancel_when = lambda: bool(heard.percents)
    pid_file = tmp_path / "pid"
    with pytest.raises(CancelledError, match="what was finished is kept"):
        run(
            tmp_path,
            f"""
import os, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))
    time.sleep(60)
while not pathlib.Path({str(pid_file)!r}).exists(): time.sleep(0.01)
tell("progress", stage="segment", done=2, total=5, unit="px")
time.sleep(60)
""",
            heard,
            grace_s=0.3,
        )
    child = int(pid_file.read_text())
    for _ in range(100):
        status = Path(f"/proc/{child}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child is still there")


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="does not start"):
        run_command(tmp_path / "gone", [], stages=(), listener=Heard())
