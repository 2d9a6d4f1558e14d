"""Real `geodeeplab segment` processes that are killed: what a resumed run gives, and what is left lying about."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio

import geodeeplab as gdl
from geodeeplab.models import Model
from geodeeplab.tiling import Lattice

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")

SAMPLE = Path(__file__).parents[2] / "sample_data" / "scene.tif"
PATIENCE_S = 600
IN_FLIGHT = 2
"""Forward passes side by side.

Computed again are the row of tiles above the first missing one, for its overlap, and that one; with it may be lost what
the lanes have begun of the next one, if the block was about to be kept.
"""
OUTPUTS = {"polygons": "a.gpkg", "label_raster": "a.tif", "confidence": "c.tif"}
FINAL = ["a.gpkg", "a.tif", "a.tif.aux.xml", "c.tif"]
WORK, LOCK = ".a.gpkg.geodeeplab-work", ".a.gpkg.geodeeplab-work.lock"

Pixels = dict[str, Any]
Kill = Callable[..., subprocess.Popen[str]]

COUNTING = """
import os, sys
from geodeeplab.cli import main
from geodeeplab.inference.engine import Forward
counter, *argv = sys.argv[1:]
forward, log = Forward.__call__, os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def counted(self, batch):
    os.write(log, b"." * batch.filled)
    return forward(self, batch)
Forward.__call__ = counted
sys.argv = ["geodeeplab", *argv]
main()
"""
"""`geodeeplab` that writes a dot to a file for each tile that goes through the network."""

STALLING = """
import os, sys, time
from functools import reduce
from importlib import import_module
from geodeeplab.cli import main
target, left, record, state, marker, *argv = sys.argv[1:]
module, names = target.split(":")
*path, name = names.split(".")
owner, left = reduce(getattr, path, import_module(module)), int(left)
function = getattr(owner, name)
def stalled(*args, **options):
    global left
    left -= not state or (os.path.exists(record) and state in open(record).read())
    if not left:
        open(marker, "w").close()
        time.sleep(600)
    return function(*args, **options)
setattr(owner, name, stalled)
sys.argv = ["geodeeplab", *argv]
main()
"""
"""`geodeeplab` that stops at the n-th call of a function, counted in a state of the commit if one is given."""


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a killed process left in its outputs' folder."""

    finals: list[str]
    """Final names that are there."""
    rows: int
    """Rows of the scene that the journal names."""
    blocks: int
    """Lines of the journal, but the header."""
    stage: str
    """How far the run was."""


def look(folder: Path) -> Left:
    """Look at what is left; as the journal and the record of the commit say, not as a run would tell."""
    names = sorted(path.name for path in folder.iterdir())
    finals = [name for name in names if not name.startswith(".")]
    journal, record = folder / WORK / "blocks.journal", folder / WORK / "outputs.json"
    head, *lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else [b""]
    rows = max((json.loads(line)["rows"][1] for line in lines), default=0)
    if record.exists():
        content = json.loads(record.read_bytes())
        written = {path.name for path in folder.glob(f".{content['token']}.geodeeplab-new/**/*")}
        order = [("a.gpkg", "moved"), ("c.tif", "confidence"), ("a.tif", "labels")]  # the last one first
        begun = [stage for final, stage in order if any(name.startswith(final) for name in written)]
        stage = [*begun, "labels"][0] if content["state"] == "writing" else content["state"]
    elif journal.exists():
        is_whole = bool(lines) and rows == json.loads(head)["shape"][0]  # blocks are as wide as the scene
        stage = "polygons" if is_whole else "blocks" if lines else "tiles"
    else:
        stage = "start" if WORK in names or not finals else "done"
    return Left(finals=finals, rows=rows, blocks=len(lines), stage=stage)


def is_in(folder: Path, stage: str) -> bool:
    """Tell whether a process is in a stage now; in that of blocks, whether the first is safe for sure."""
    try:
        left = look(folder)
    except (FileNotFoundError, ValueError):  # a file that was just renamed, or half a line
        return False
    return left.stage == stage and (stage != "blocks" or left.blocks == 2)


def read_outputs(folder: Path) -> Pixels:
    """Read both rasters, and the geometries and attributes of the polygons."""
    found: Pixels = {}
    for name in ("a.tif", "c.tif"):
        with rasterio.open(folder / name) as src:
            found[name] = src.read(1).tobytes(), src.tags().get("GEODEEPLAB_CLASSES")
    _, _, geometries, fields = pyogrio.raw.read(folder / "a.gpkg", layer="landcover")
    found["a.gpkg"] = list(geometries), [list(field) for field in fields]
    return found


def check_complete(folder: Path, whole: Pixels) -> None:
    """Check that a folder holds the outputs of an uninterrupted run, and nothing else."""
    assert sorted(path.name for path in folder.iterdir()) == FINAL
    check_pixels(folder, whole)


def check_pixels(folder: Path, whole: Pixels) -> None:
    """Check that the outputs in a folder are those of an uninterrupted run."""
    for name, content in read_outputs(folder).items():
        assert content == whole[name], name


def arguments(scene: Path, folder: Path, *options: object) -> list[str]:
    folder.mkdir(exist_ok=True)
    places = [f"--{name.replace('_', '-')}={folder / file}" for name, file in OUTPUTS.items()]
    return ["segment", str(scene), *places, *map(str, options)]


def start(*argv: object) -> subprocess.Popen[str]:
    """Start a process of its own session, so that all it starts can be killed with it."""
    return subprocess.Popen(
        [sys.executable, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(IN_FLIGHT)},
        start_new_session=True,
    )


def finish(*argv: object) -> dict[str, Any]:
    """Run a command that ends well; give its facts."""
    process = start(*argv, "--json")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    facts: dict[str, Any] = json.loads(out)
    return facts


@pytest.fixture
def kill() -> Iterator[Kill]:
    """Give a function that starts a command and sends it a signal when it is time to, or never if it ends before."""
    running: list[subprocess.Popen[str]] = []

    def start_and_kill(
        *argv: object, when: Callable[[float], bool], number: signal.Signals = signal.SIGKILL
    ) -> subprocess.Popen[str]:
        process = start(*argv)
        running.append(process)
        started = time.monotonic()
        while process.poll() is None and not when(time.monotonic() - started):
            assert time.monotonic() - started < PATIENCE_S
            time.sleep(0.001)
        with suppress(ProcessLookupError):
            process.send_signal(number)
        process.wait(timeout=PATIENCE_S)
        return process

    yield start_and_kill
    for process in running:
        process.kill()
        process.communicate()


class TestTinyModel:
    """The tiny model, killed where it is made to stop; the runs are resumed in this process."""

    @pytest.fixture
    def scene(self, make_raster: Callable[..., Path], blocks: Callable[..., np.ndarray]) -> Path:
        return make_raster(blocks(400, 300), photometric="rgb")

    @pytest.fixture
    def options(self, tiny_model: Path) -> list[object]:
        return ["--model", tiny_model, "--tile-size", 64, "--overlap", 16]

    @staticmethod
    def segment(scene: Path, folder: Path, model: Model, **options: bool) -> dict[str, Any]:
        places = {name: folder / file for name, file in OUTPUTS.items()}
        return gdl.segment(scene, **places, model=model, tile_size=64, overlap=16, **options).facts  # type: ignore[arg-type]

    @pytest.fixture
    def whole(self, scene: Path, tiny: Model, tmp_path: Path) -> Pixels:
        folder = tmp_path / "whole"
        folder.mkdir()
        self.segment(scene, folder, tiny)
        return read_outputs(folder)

    @pytest.mark.slow
    def test_kill_9_keeps_the_work(
        self, scene: Path, options: list[object], whole: Pixels, tiny: Model, tmp_path: Path, kill: Kill
    ) -> None:
        # A block's files without its line in the journal; polygons half-way are among the moments below.
        folder, marker = tmp_path / "out", tmp_path / "stalled"
        argv = arguments(scene, folder, *options)
        process = kill(
            *("-c", STALLING, "geodeeplab.raster.spool.store:append_record", 4, "", "", marker, *argv),
            when=lambda _: marker.exists(),
        )
        assert process.returncode == -signal.SIGKILL
        left = look(folder)
        assert (left.stage, left.finals, left.rows) == ("blocks", [], 3 * 48)
        with pytest.raises(gdl.OutputError, match=r"interrupted run left 36 % in .*: pass `resume=True`"):
            self.segment(scene, folder, tiny)
        facts = self.segment(scene, folder, tiny, resume=True)
        assert facts["resumed_share"] == pytest.approx(3 * 48 / 400)
        assert sum(facts["tiles"].values()) == 36, "one row of tiles again, at most"
        check_complete(folder, whole)

    # Each moment that leaves another state behind: the function, which of its calls, the state.
    MOMENTS: tuple[tuple[str, int, str], ...] = (
        ("geodeeplab.raster.spool.spool_journal:write_journal", 1, "start"),  # a folder without a journal
        ("geodeeplab.inference.tiles:RowReader.read", 10, "tiles"),
        ("geodeeplab.raster.spool.store:append_record", 1, "tiles"),
        ("geodeeplab.inference.engine:Engine._timed_forward", 20, "blocks"),
        ("geodeeplab.inference.canvas:Canvas.to_host", 5, "blocks"),
        ("geodeeplab.raster.spool.store:write_file", 6, "blocks"),  # labels of a block, no confidence
        ("pyogrio.raw:write_arrow", 1, "polygons"),
        ("pyogrio:read_info", 1, "polygons"),
        ("geodeeplab.pipeline.writing:write_label_cog", 1, "labels"),
        ("geodeeplab.raster.cog:_check_complete", 1, "labels"),
        ("geodeeplab.raster.cog:_check_complete", 2, "confidence"),
        ("geodeeplab.raster.outputs.checks:commit", 4, "moved"),  # the three by themselves are swapped in, too
        ("committing os:replace", 1, "committing"),
        ("committing os:replace", 3, "committing"),
        ("committing os:replace", 6, "committing"),
        ("committing geodeeplab.raster.outputs.commit:_sync_folders", 1, "committing"),
        ("done geodeeplab.raster.outputs.commit:remove_folders", 1, "done"),
        ("done geodeeplab.raster.spool.workspace:remove_folder", 1, "done"),
        ("done geodeeplab.raster.spool.work_folder:sync_folder", 1, "done"),  # the journal is gone
    )

    @pytest.mark.slow
    @pytest.mark.parametrize("old", [False, True], ids=["new", "overwrite"])
    @pytest.mark.parametrize(("target", "call", "stage"), MOMENTS)
    def test_kill_9_wherever_it_is(
        self,
        scene: Path,
        options: list[object],
        whole: Pixels,
        tiny: Model,
        tmp_path: Path,
        kill: Kill,
        target: str,
        call: int,
        stage: str,
        old: bool,
    ) -> None:
        folder, marker = tmp_path / "out", tmp_path / "stalled"
        record = folder / WORK / "outputs.json"
        argv = arguments(scene, folder, *options)
        for name in FINAL if old else ():
            (folder / name).write_text("old")
        if old:
            argv.append("--overwrite")
        state, _, function = target.rpartition(" ")
        if (call, state, old) == (6, "committing", False):
            pytest.skip("only four files are moved where none is in the way")
        command = ["-c", STALLING, function, call, record, state, marker, *argv]
        process = kill(*command, when=lambda _: marker.exists())
        assert process.returncode == -signal.SIGKILL
        left = look(folder)
        assert left.stage == stage
        if stage == "done":
            check_pixels(folder, whole)
            with (
                suppress(gdl.OutputError) if function.endswith("sync_folder") else nullcontext()
            ):  # the journal is gone
                self.segment(scene, folder, tiny, resume=True)
        else:
            if stage != "committing":
                assert left.finals == (FINAL if old else [])
                assert all((folder / name).read_text() == "old" for name in left.finals)
            self.go_on(scene, folder, tiny, left, old=old)
        check_complete(folder, whole)

    def go_on(self, scene: Path, folder: Path, model: Model, left: Left, *, old: bool) -> None:
        if left.rows:
            with pytest.raises(gdl.OutputError, match=r"interrupted run left \d+ % in"):
                self.segment(scene, folder, model)
            assert look(folder).finals == (FINAL if old else []), "whatever was half renamed is as it was"
            facts = self.segment(scene, folder, model, resume=True)
            assert facts["resumed_share"] == pytest.approx(left.rows / 400)
            assert left.rows < 400 or sum(facts["tiles"].values()) == 0, "all blocks were there"
        elif old:
            with pytest.raises(gdl.OutputError, match="exists: pass `overwrite=True`"):
                self.segment(scene, folder, model, resume=True)
            self.segment(scene, folder, model, overwrite=True)
        else:
            with pytest.warns(gdl.GeoDeepLabWarning, match="nothing to resume"):
                self.segment(scene, folder, model, resume=True)

    @pytest.mark.slow
    def test_a_run_that_is_killed_again_and_again_comes_to_its_end(
        self, scene: Path, options: list[object], whole: Pixels, tmp_path: Path, kill: Kill
    ) -> None:
        folder, marker, rows = tmp_path / "out", tmp_path / "stalled", []
        argv = arguments(scene, folder, *options, "--resume")
        for _ in range(3):
            marker.unlink(missing_ok=True)
            kill(
                *("-c", STALLING, "geodeeplab.raster.spool.store:append_record", 3, "", "", marker, *argv),
                when=lambda _: marker.exists(),
            )
            rows.append(look(folder).rows)
        assert rows == [96, 192, 288]
        assert finish("-m", "geodeeplab", *argv)["resumed_share"] == pytest.approx(288 / 400)
        check_complete(folder, whole)


@dataclass(frozen=True, kw_only=True)
class Uninterrupted:
    """A run that nobody disturbed."""

    start_s: float
    """From the start of its process to that of the work."""
    seconds: float
    """From the start of its process to the end."""
    pixels: Pixels
    """What it gave."""
    lattice: Lattice
    """Its tiles."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    folder = tmp_path_factory.mktemp("whole")
    timed = []
    for _ in range(2):
        started = time.monotonic()
        facts = finish("-m", "geodeeplab", *arguments(SAMPLE, folder, "--overwrite"))
        seconds = time.monotonic() - started
        timed.append((seconds, seconds - facts["seconds"]["total"]))
    seconds, start_s = min(timed)
    height, width = facts["shape"]
    lattice = Lattice(shape=(height, width), tile_size=facts["tile_size"], overlap=facts["overlap"])
    return Uninterrupted(start_s=start_s, seconds=seconds, pixels=read_outputs(folder), lattice=lattice)


@pytest.mark.slow
class TestBundledModel:
    """The bundled model on the sample scene, killed at any moment."""

    @staticmethod
    def go_on(
        folder: Path, uninterrupted: Uninterrupted, left: Left, counter: Path, *, moment: str, lost_rows: int = 2
    ) -> None:
        """Resume a run and check all that it promises; print a row of the table of kills."""
        rows, cols = uninterrupted.lattice.rows.count, uninterrupted.lattice.cols.count
        if left.stage == "done":
            check_complete(folder, uninterrupted.pixels)
            print(f"| {moment} | done | 100 % | – |")
            return
        assert not left.finals or left.stage == "committing"
        before = counter.stat().st_size if counter.exists() else 0
        facts = finish("-c", COUNTING, counter, *arguments(SAMPLE, folder, "--resume"))
        check_complete(folder, uninterrupted.pixels)
        assert facts["resumed_share"] == pytest.approx(left.rows / facts["shape"][0])
        assert (facts["resumed_share"] > 0) == (left.blocks > 0)
        again = counter.stat().st_size - rows * cols
        print(f"| {moment} | {left.stage} | {facts['resumed_share']:.0%} | {max(again, 0)} of {rows * cols} |")
        assert counter.stat().st_size - before == facts["tiles"]["forwarded"]
        assert again <= lost_rows * cols + IN_FLIGHT

    @pytest.mark.parametrize("number", range(20))
    def test_kill_9_at_a_random_moment(
        self, uninterrupted: Uninterrupted, tmp_path: Path, kill: Kill, number: int
    ) -> None:
        moments = np.random.default_rng(4).uniform(uninterrupted.start_s, uninterrupted.seconds, 20)
        folder, counter = tmp_path / "out", tmp_path / "tiles"
        command = ["-c", COUNTING, counter, *arguments(SAMPLE, folder)]
        process = kill(*command, when=lambda seconds: seconds >= moments[number])
        left = look(folder)
        assert process.returncode == -signal.SIGKILL or (process.returncode, left.stage) == (0, "done")
        moment = f"{moments[number]:.2f} s of {uninterrupted.seconds:.2f} s"
        self.go_on(folder, uninterrupted, left, counter, moment=moment)

    @pytest.mark.parametrize("stage", ["tiles", "blocks", "labels", "confidence", "polygons"])
    def test_kill_9_in_each_stage(self, uninterrupted: Uninterrupted, tmp_path: Path, kill: Kill, stage: str) -> None:
        folder, counter = tmp_path / "out", tmp_path / "tiles"
        command = ["-c", COUNTING, counter, *arguments(SAMPLE, folder)]

        kill(*command, when=lambda _: is_in(folder, stage))
        left = look(folder)
        assert left.stage == stage
        assert not left.finals
        self.go_on(folder, uninterrupted, left, counter, moment=f"in {stage}")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("stage", ["tiles", "blocks", "labels", "polygons"])
    def test_a_polite_signal(
        self, uninterrupted: Uninterrupted, tmp_path: Path, kill: Kill, stage: str, number: signal.Signals
    ) -> None:
        before = signal.signal(number, signal.default_int_handler)  # a shell's background jobs hand an ignored one on
        try:
            folder, counter = tmp_path / "out", tmp_path / "tiles"
            command = ["-c", COUNTING, counter, *arguments(SAMPLE, folder)]

            process = kill(*command, when=lambda _: is_in(folder, stage), number=number)
        finally:
            signal.signal(number, before)
        out, err = process.communicate()
        (line,) = [line for line in err.splitlines() if line]
        assert (process.returncode, out) == (1, "")
        left = look(folder)
        if stage == "tiles":
            assert not list(folder.iterdir())
            assert line == "error: interrupted, nothing was written: run the command again"
        else:
            assert [path.name for path in folder.iterdir()] == [WORK], "no lock, no temporary file"
            assert line.startswith("error: interrupted before the outputs were written; ")
            assert line.endswith(f" % of the scene is kept in {folder / WORK}: pass --resume to go on")
        moment = f"{number.name} in {stage}"
        self.go_on(folder, uninterrupted, left, counter, moment=moment, lost_rows=3)  # it may meet a block being kept
