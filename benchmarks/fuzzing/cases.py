"""A mutated case: its files laid out, its command run, its outcome judged."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.inputs import interrupt
from fuzzing.kinds import INTERRUPTIONS, Command, Kind, iter_kinds
from fuzzing.watching import Watched

LIMIT_S = 20.0
"""Of computing; see `watching`."""
LIMIT_BYTES = 2e9
FIRST_LIMIT_S = 900.0
"""For an unmutated command: kernels are compiled, libraries imported."""
GOOD = ("result", "refused")
OUTCOMES = (*GOOD, "traceback", "hang", "crash", "memory", "leftover", "wrong", "unclear")
"""What a case can end with; see `judge`."""
KEPT = ("keep.txt", "keep.tif", "k", ".keep", "a.gpkg.txt", ".a.mine")
"""Files of the user's in the outputs' folder."""
AREAS = ("in", "elsewhere", "cwd", "tmp")
"""Folders in which nothing may change."""

NOT_OURS = (".ses",)
"""Files that a library leaves where temporary files go, whatever it is asked for: onnxruntime on its import."""

Snapshot = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a case ended."""

    number: int
    """The case's."""
    kind: str
    """What was mutated."""
    command: str
    """What met it."""
    mutation: str
    """How."""
    outcome: str
    """One of `OUTCOMES`."""
    detail: str
    """What there is to say of it: the line of a refusal, the place of a traceback, the names of what is left."""
    verdict: str = ""
    """Of a result: whether its pixels were compared."""
    seconds: float = 0.0
    """How long it took."""
    peak_bytes: int = 0
    """Peak of the process's memory."""

    def to_mapping(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return asdict(self)


def order_of_kinds(seed: int) -> list[Kind]:
    """Give the kinds in the order in which they take turns, each as often as it weighs."""
    turns = [kind for kind in iter_kinds() for _ in range(kind.weight)]
    return [turns[i] for i in np.random.default_rng(seed).permutation(len(turns))]


class Bench:
    """One place where cases are run, one after the other, always in the same folders: records hold whole paths."""

    def __init__(
        self,
        inputs: Path,
        folder: Path,
        *,
        seed: int,
        kinds: Sequence[Kind] | None = None,
        entry: str = "geodeeplab.cli:main",
        limit_s: float = LIMIT_S,
        limit_bytes: float = LIMIT_BYTES,
    ) -> None:
        """Take where the inputs are and cases are run, and what their numbers mean.

        Args:
            inputs: folder of the unmutated inputs.
            folder: a folder of its own.
            seed: decides about all cases.
            kinds: take turns; by default all that there are.
            entry: what is run, as module:function.
            limit_s: seconds of computing for a case.
            limit_bytes: memory for a case.
        """
        self.inputs, self.folder, self.seed = inputs, folder.resolve(), seed
        self.limits = {"limit_s": limit_s, "limit_bytes": limit_bytes}
        self.turns = order_of_kinds(seed) if kinds is None else list(kinds)
        self.slot = self.folder / "slot"
        environment = {"TMPDIR": str(self.slot / "tmp"), "TORCH_HOME": str(self.folder / "torch")}
        self.worker = Watched(entry, environment=environment)
        self._lay_out(self.turns[0])

    def plan(self, number: int) -> tuple[Kind, Command, np.random.Generator]:
        """Give the kind and the command of a case, and what decides about its mutation."""
        rng = np.random.default_rng([self.seed, number])
        kind = self.turns[number % len(self.turns)]
        return kind, kind.commands[int(rng.integers(len(kind.commands)))], rng

    def run(self, number: int) -> Outcome:
        """Run a case; one that seems to hang gets a second chance, in a process of its own."""
        outcome = self._run(number)
        return self._run(number) if outcome.outcome == "hang" else outcome

    def _run(self, number: int) -> Outcome:
        kind, command, rng = self.plan(number)
        if told := self._ensure_good(kind, command):
            return Outcome(
                number=number,
                kind=kind.name,
                command=command.name,
                mutation="none",
                outcome="wrong",
                detail=told,
            )
        self._lay_out(kind)
        mutation = kind.mutate(self.slot, rng)
        before = {area: snapshot(self.slot / area) for area in (*AREAS, "out")}
        answer = self.worker.run(self._task(command), **self.limits)
        after = {area: snapshot(self.slot / area) for area in (*AREAS, "out")}
        err = (self.slot / "stderr").read_bytes().decode(errors="replace")
        outcome, detail = judge(kind, command, answer, before, after, err, self.limits["limit_bytes"])
        return Outcome(
            number=number,
            kind=kind.name,
            command=command.name,
            mutation=mutation.encode(errors="backslashreplace").decode()[:400],
            outcome=outcome,
            detail=detail.encode(errors="backslashreplace").decode()[:600],
            verdict=answer.get("verdict", ""),
            seconds=round(answer.get("seconds", self.limits["limit_s"]), 3),
            peak_bytes=answer.get("peak_bytes", 0),
        )

    def close(self) -> None:
        """End the worker."""
        self.worker.stop()

    def _good(self, command: Command) -> Path:
        return self.folder / "good" / hashlib.sha1(command.name.encode()).hexdigest()[:12]

    def _ensure_good(self, kind: Kind, command: Command) -> str:
        """Run the unmutated command, for its result and to warm the worker up; say what is wrong if it gives none."""
        good = self._good(command)
        if good.exists() and not self.worker.is_fresh:
            return ""
        self._lay_out(kind, is_left=False)
        task = self._task(command) | {"check": ""}
        answer = self.worker.run(task, limit_s=FIRST_LIMIT_S, limit_bytes=8e9)
        err = (self.slot / "stderr").read_text(errors="replace")
        if answer.get("status") != 0 or "ended" in answer:
            return f"gives no result unmutated: {answer.get('error', answer)} {' '.join(err.split())[-400:]}"
        shutil.rmtree(good, ignore_errors=True)
        good.mkdir(parents=True)
        shutil.copytree(self.slot / "out", good / "out")
        shutil.copy(self.slot / "stdout", good / "stdout")
        return ""

    def _task(self, command: Command) -> dict[str, Any]:
        places = {"{in}": str(self.slot / "in"), "{out}": str(self.slot / "out")}
        argv = list(command.argv)
        for mark, path in places.items():
            argv = [word.replace(mark, path) for word in argv]
        return {
            **{"argv": argv, "cwd": str(self.slot / "cwd"), "check": command.check, "about": command.about},
            **{"stdout": str(self.slot / "stdout"), "stderr": str(self.slot / "stderr")},
            **{"folder": str(self.slot), "good": str(self._good(command)), "before": str(self.inputs)},
        }

    def _lay_out(self, kind: Kind, *, is_left: bool = True) -> None:
        """Make the folders anew, with the inputs of a kind and files of the user's."""
        left = self._left(kind) if kind.left and is_left else None
        self.slot.mkdir(parents=True, exist_ok=True)
        for name in (*AREAS, "out"):
            path = self.slot / name
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        self._copy_inputs(kind)
        if left is not None:
            shutil.rmtree(self.slot / "out")
            _copy_left(left, self.slot / "out")
        for name in KEPT:
            (self.slot / "out" / name).write_text(f"the user's {name}")
        (self.slot / "elsewhere" / "folder").mkdir()
        for name in ("user.tif", "user.json", "a.gpkg", "folder/a.tif", "folder/.a.tif"):
            (self.slot / "elsewhere" / name).write_text(f"the user's {name}")

    def _copy_inputs(self, kind: Kind) -> None:
        for name in kind.files:
            source, target = self.inputs / name, self.slot / "in" / name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)

    def _left(self, kind: Kind) -> Path:
        """Give what an interrupted run has left; it is made at the first time."""
        left = self.folder / "left" / kind.left
        if not left.exists():
            self._lay_out(kind, is_left=False)
            command = next(one for one in kind.commands if "--resume" not in one.argv and "--overwrite" not in one.argv)
            task = self._task(command)
            how, count = INTERRUPTIONS[kind.left]
            interrupt(self.slot / "out", how, count, *task["argv"])
            left.parent.mkdir(parents=True, exist_ok=True)
            (self.slot / "out").rename(left)
            (self.slot / "out").mkdir()
        return left


def _copy_left(source: Path, target: Path) -> None:
    """Copy what was left; outputs keep their inodes, by which a record knows them."""
    target.mkdir()
    for path in source.iterdir():
        if path.is_dir():
            is_work = any(path.glob("*.journal"))  # which is added to, and a link would carry it back
            shutil.copytree(path, target / path.name, copy_function=shutil.copy2 if is_work else os.link)
        else:
            os.link(path, target / path.name)


def snapshot(folder: Path) -> Snapshot:
    """Give every name in a folder with a digest of its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name in NOT_OURS:
            continue
        if path.is_symlink():
            content = b"link to " + os.fsencode(os.readlink(path))
        elif path.is_file():
            content = path.read_bytes()
        else:
            content = b"folder"
        found[str(path.relative_to(folder))] = hashlib.sha1(content).hexdigest()
    return found


def judge(
    kind: Kind,
    command: Command,
    answer: Mapping[str, Any],
    before: Mapping[str, Snapshot],
    after: Mapping[str, Snapshot],
    err: str,
    limit_bytes: float = LIMIT_BYTES,
) -> tuple[str, str]:
    """Say how a case ended, and what there is to say of it.

    `result` (exit 0) and `refused` (exit 1 or 2, one line that begins with `error: `) are good; all else is not:
    `traceback`, in the main thread or another one, `hang`, `crash` (ended by a signal), `memory`, `leftover` (a file
    that should not be there, or one of the user's that is gone or changed), `wrong` (pixels), `unclear` (a refusal in
    other lines than one).
    """
    if "ended" in answer:
        return str(answer["ended"]), f"{answer['status']} {_frames(err)}"
    if answer["status"] == -1:
        return "traceback", answer["error"]
    if "Traceback (most recent call last)" in err or "Exception ignored" in err:
        return "traceback", " ".join(err.split())[-400:]
    if answer["peak_bytes"] > limit_bytes:
        return "memory", f"{answer['peak_bytes'] / 1e9:.1f} GB"
    is_result = answer["status"] == 0
    if told := _find_leftovers(kind, command, before, after, err, is_result=is_result):
        return "leftover", told
    if is_result:
        return ("wrong", answer["wrong"]) if answer["verdict"] == "wrong" else ("result", "")
    lines = [line for line in err.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    noise = [line for line in lines[:-1] if not line.startswith("warning: ")]
    is_one_line = last.startswith("error: ") and (not noise or command.name.startswith("train"))
    if answer["status"] not in (1, 2) or not is_one_line:
        return "unclear", f"exit {answer['status']}: {' / '.join(lines)[:500]}"
    return "refused", last


def _find_leftovers(
    kind: Kind,
    command: Command,
    before: Mapping[str, Snapshot],
    after: Mapping[str, Snapshot],
    err: str,
    *,
    is_result: bool,
) -> str:
    """Name what has changed that may not."""
    told = [f"{area}/{name}" for area in AREAS for name in _changed(before[area], after[area])]
    told += [f"out/{name}" for name in KEPT if before["out"].get(name) != after["out"].get(name)]
    may_appear = set(command.outputs if is_result or kind.left else command.partial)
    for name in _changed(before["out"], after["out"]):
        top = name.split("/")[0]
        if top in KEPT or top in may_appear or (kind.left and name in before["out"]):
            continue
        is_kept_work = not is_result and top.startswith(".") and f"{top}: pass --resume" in err
        if not is_kept_work and not (kind.left and top.startswith(".") and top in before["out"]):
            told.append(f"out/{name}")
    return ", ".join(dict.fromkeys(told))


def _changed(before: Snapshot, after: Snapshot) -> list[str]:
    return sorted(name for name in before | after if before.get(name) != after.get(name))


def _frames(err: str) -> str:
    """Give the frames of ours in what faulthandler has said."""
    frames = [line.strip() for line in err.splitlines() if line.strip().startswith("File ") and "/geodeeplab/" in line]
    return " < ".join(frame.rpartition("/geodeeplab/")[2] for frame in frames[:4])
