"""Machine code is kept by content: used wherever the code is the same, and not when any kernel has changed."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import geodeeplab
from geodeeplab.compiled import DAY_S, KEPT_DAYS, cache_folder, digest_of, tidy

PROGRAM = """
from kernels_inner import double
assert double(21) == 42
print(sum(double.stats.cache_hits.values()), sum(double.stats.cache_misses.values()))
"""
INNER = """
from geodeeplab.compiled import compiled
@compiled
def double(value):
    return 2 * value
"""
OUTER = """
from geodeeplab.compiled import compiled
from {inner} import double
from {limits} import LIMIT
@compiled
def limited(value):
    return min(double(value), LIMIT)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for machine code."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture(autouse=True)
def _no_traces() -> Iterator[None]:
    yield
    for name in ("kernels_inner", "kernels_limits", "kernels_outer"):
        sys.modules.pop(name, None)


def load(folder: Path, name: str, text: str) -> ModuleType:
    """Write a module and import it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def hits(kernel: object) -> int:
    return sum(kernel.stats.cache_hits.values())  # type: ignore[attr-defined]


def checkout(folder: Path, *, inner: str = INNER, limit: int = 5) -> ModuleType:
    """Write three modules, as a clone of a repository would have them, and import them anew."""
    load(folder, "kernels_inner", inner)
    load(folder, "kernels_limits", f"LIMIT = {limit}")
    return load(folder, "kernels_outer", OUTER.format(inner="kernels_inner", limits="kernels_limits"))


@pytest.mark.usefixtures("cache")
def test_another_copy_of_the_code_uses_what_was_compiled(tmp_path: Path) -> None:
    first, second = checkout(tmp_path / "a"), checkout(tmp_path / "b")
    os.utime(tmp_path / "b" / "kernels_inner.py", (1, 1))
    assert first.limited(1) == second.limited(1) == 2
    assert (hits(first.limited), hits(second.limited)) == (0, 1)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("change", [{"inner": INNER.replace("2 *", "3 *")}, {"limit": 4}])
def test_what_a_kernel_calls_and_names_counts(tmp_path: Path, change: dict[str, object]) -> None:
    assert checkout(tmp_path / "a").limited(9) == 5
    changed = checkout(tmp_path / "b", **change)  # type: ignore[arg-type]
    assert changed.limited(1) == (3 if "inner" in change else 2)
    assert changed.limited(9) == (5 if "inner" in change else 4)
    assert hits(changed.limited) == 0


def test_damaged_files_are_written_anew(tmp_path: Path, cache: Path) -> None:
    assert checkout(tmp_path / "a").limited(1) == 2
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:20])
    damaged = checkout(tmp_path / "b")
    assert damaged.limited(1) == 2
    assert hits(damaged.limited) == 0
    whole = checkout(tmp_path / "c")
    assert whole.limited(1) == 2
    assert hits(whole.limited) == 1


def test_where_nothing_can_be_written_kernels_are_compiled(tmp_path: Path, cache: Path) -> None:
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("in the way")
    for _ in range(2):
        kernel = checkout(tmp_path / "a").limited
        assert kernel(1) == 2
        assert hits(kernel) == 0


def test_the_digest_is_of_all_that_is_called(tmp_path: Path) -> None:
    digests = {digest_of(checkout(tmp_path / "a").limited.py_func), digest_of(checkout(tmp_path / "b").limited.py_func)}
    assert len(digests) == 1
    digests.add(digest_of(checkout(tmp_path / "c", limit=4).limited.py_func))  # Python itself goes by time and size
    digests.add(digest_of(checkout(tmp_path / "d", inner=INNER + "# changed").limited.py_func))
    assert len(digests) == 3


def test_what_is_old_or_too_much_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    ages = {"old": KEPT_DAYS + 1, "used": KEPT_DAYS + 1, "large": 3, "new": 2}
    for name, days in ages.items():
        for suffix in ("nbi", "1.nbc"):
            path = tmp_path / f"module.{name}-0123.py311.{suffix}"
            path.write_bytes(b"0" * (800 if name == "large" else 100))
            os.utime(path, (now - days * DAY_S,) * 2)
    os.utime(tmp_path / "module.used-0123.py311.nbi")  # so is its code
    monkeypatch.setattr("geodeeplab.compiled.KEPT_BYTES", 1000)
    tidy(tmp_path)
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"module.used", "module.new"}
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"NUMBA_CACHE_DIR": "/own"}, "/own/geodeeplab"),
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/geodeeplab/kernels"),
        ("linux", {}, "/home/me/.cache/geodeeplab/kernels"),
        ("darwin", {}, "/home/me/Library/Caches/geodeeplab/kernels"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/geodeeplab/kernels"),
    ],
)
def test_the_folder(monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], folder: str) -> None:
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me", "USERPROFILE": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(folder)


@pytest.mark.usefixtures("cache")
def test_integers_and_constants_share_one_version(tmp_path: Path) -> None:
    text = """
from geodeeplab.compiled import compiled
@compiled
def shifted(value, turned):
    return value - 1 if turned else value << 8
@compiled
def outer(values, flag):
    return shifted(values[0], True) + shifted(3, flag) + shifted(values.size, False)
"""
    module = load(tmp_path / "a", "kernels_outer", text)
    for dtype in (np.uint8, np.int32, np.int64):
        assert module.shifted(dtype(200), False) == 200 << 8  # not that of a byte
        assert module.outer(np.full(2, 7, dtype), True) == 6 + 2 + (2 << 8)
    assert len(module.shifted.signatures) == 1
    assert len(module.outer.signatures) == 3  # arrays are read as they are
    module.shifted(np.uint64(2**63), False)
    assert len(module.shifted.signatures) == 2  # it is no int64


@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    (tmp_path / "kernels_inner.py").write_text(INNER)
    environment = {
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PATH": "",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(geodeeplab.__file__).parents[1])]),
    }
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].split()[0] for process in both] in (["0", "0"], ["0", "1"], ["1", "0"])
    assert [process.returncode for process in both] == [0, 0]
