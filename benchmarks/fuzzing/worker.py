"""A process that runs one command line after the other, told by lines of JSON on stdin.

    python benchmarks/fuzzing/worker.py MODULE:FUNCTION

Each task names the arguments, the working folder, files for stdout and stderr, and an oracle. The answer, a line on
what was stdout at the start, says how the command ended; a process that is killed or crashes gives none.
"""

import faulthandler
import gc
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

FRAMES = 3
"""As many frames of ours as a traceback is told by."""


def main() -> None:
    """Answer tasks until stdin ends."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    module, _, name = sys.argv[1].partition(":")
    entry: Callable[[], None] = getattr(import_module(module), name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(run_task(entry, json.loads(line))) + "\n")


def run_task(entry: Callable[[], None], task: dict[str, Any]) -> dict[str, Any]:
    """Run a command, then its oracle."""
    os.chdir(task["cwd"])
    kept = os.dup(1), os.dup(2)
    with open(task["stdout"], "wb") as out, open(task["stderr"], "wb") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        faulthandler.enable(file=err)
        faulthandler.register(signal.SIGUSR1, file=err, all_threads=True, chain=False)
        reset_peak()
        started = time.monotonic()
        try:
            answer = run_command(entry, task["argv"]) | {"seconds": time.monotonic() - started}
            gc.collect()
            answer |= {"peak_bytes": read_peak(), "open_files": len(os.listdir("/proc/self/fd"))}
            if answer["status"] == 0:
                answer |= check(task)
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            faulthandler.enable()
            for one in kept:
                os.close(one)
    return answer


def run_command(entry: Callable[[], None], argv: list[str]) -> dict[str, Any]:
    """Run a command line; give its exit status, and the traceback of what was no exit."""
    sys.argv = ["geodeeplab", *argv]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            entry()
        except SystemExit as leaving:
            return {"status": leaving.code if isinstance(leaving.code, int) else 1 if leaving.code else 0}
        except BaseException as error:
            return {"status": -1, "error": describe(error), "traceback": "".join(traceback.format_exception(error))}
    return {"status": 0}


def describe(error: BaseException) -> str:
    """Say in one line what was raised, and by which lines of ours."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/geodeeplab/" in f.filename][-FRAMES:]
    where = " < ".join(f"{f.filename.rpartition('/geodeeplab/')[2]}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]} @ {where}"


def check(task: dict[str, Any]) -> dict[str, Any]:
    """Ask the oracle of a task."""
    if not task.get("check"):
        return {"verdict": "skipped"}
    from fuzzing.oracles import check_result

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder, good, before = (Path(task[key]) for key in ("folder", "good", "before"))
            return {"verdict": check_result(task["check"], task["about"], folder, good, before)}
    except AssertionError as error:
        return {"verdict": "wrong", "wrong": str(error)}
    except Exception as error:  # a result that cannot be read is wrong, too
        return {"verdict": "wrong", "wrong": f"the result cannot be checked: {error!r}"}


def reset_peak() -> None:
    """Set the peak of memory back to what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def read_peak() -> int:
    """Give the peak of memory in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
