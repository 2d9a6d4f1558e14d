"""Running commands in this process, and what every refusal has in common."""

import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from geodeeplab.cli import main

MakeRaster = Callable[..., Path]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ran]]:
    """Give a function that runs a command line through `main`; what is no error of ours goes through as it is."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, getattr(signal, "SIGHUP", 0)) if number}

    def run_command(*argv: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["geodeeplab", *map(str, argv)])
        capfd.readouterr()
        status = 0
        with warnings.catch_warnings():  # `main` shows warnings in its own way
            warnings.simplefilter("default")
            try:
                main()
            except SystemExit as leaving:
                status = leaving.code if isinstance(leaving.code, int) else -1
        captured = capfd.readouterr()  # GDAL's own words, written past Python, included
        return Ran(status=status, out=captured.out, err=captured.err)

    yield run_command
    for number, handler in handlers.items():
        signal.signal(number, handler)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Give every name in a folder, hidden ones included, with its content; None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def check_refusal(ran: Ran, *, match: str, status: int = 1) -> None:
    """Check that a command ended with one line on stderr: rule, value met, next step."""
    assert ran.out == ""
    assert ran.status == status
    lines = [line for line in ran.err.splitlines() if line]
    assert lines, "a refusal says why"
    *before, last = lines
    assert all(line.startswith("warning: ") for line in before), ran.err
    assert re.match(rf"error: .*{match}", last), last
    assert ": " in last.removeprefix("error: "), f"no next step: {last}"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder for outputs."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def expect_refused(run: Callable[..., Ran], out: Path) -> Callable[..., None]:
    """Give a function that runs a command and checks that it is refused and leaves the outputs' folder as it was."""

    def check(*argv: object, match: str, status: int = 1) -> None:
        before = snapshot(out)
        ran = run(*argv)
        check_refusal(ran, match=match, status=status)
        assert snapshot(out) == before

    return check


@pytest.fixture
def expect_kept(run: Callable[..., Ran]) -> Callable[..., float]:
    """Give a function that runs a `segment` which fails half-way, and checks what it leaves in its outputs' folder.

    Nothing under a final name is new, and of hidden names there is the kept work only, or nothing where no block was
    done; the one line of the error says so. It gives the share that is kept.
    """

    def check(folder: Path, *argv: object, match: str) -> float:
        def visible() -> dict[str, bytes | None]:
            return {name: content for name, content in snapshot(folder).items() if not name.startswith(".")}

        before = visible()
        ran = run(*argv)
        check_refusal(ran, match=match)
        assert visible() == before
        hidden = [path for path in folder.iterdir() if path.name.startswith(".")]
        note = re.search(r"; (\d+) % of the scene is kept in (\S+): pass --resume to go on$", ran.err.rstrip())
        if note is None:
            assert "kept" not in ran.err
            assert not hidden
            return 0.0
        assert hidden == [Path(note[2])]
        journal = (hidden[0] / "blocks.journal").read_bytes().splitlines()
        assert len(journal) > 1, "a header and a line for each block"
        return int(note[1]) / 100

    return check


@pytest.fixture
def scene(make_raster: MakeRaster, blocks: Callable[..., Any]) -> Path:
    """An RGB scene of four tiles of the tiny model."""
    return make_raster(blocks(150, 200), "scene.tif", photometric="rgb")


@pytest.fixture
def segment_args(scene: Path, tiny_model: Path, out: Path) -> list[object]:
    """A `segment` that works; options that follow win over those in it."""
    return ["segment", scene, "-o", out / "landcover.gpkg", "--model", tiny_model]
