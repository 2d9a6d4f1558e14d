"""How far a command is, and what it has to say meanwhile: bars on a terminal, or JSON for the program that started it.

All that goes to stderr goes through here, so that with `--progress json` every line is one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from geodeeplab.cli.process import check_interruption

MODES = ("auto", "bar", "json", "none")
PROTOCOL = 1
"""Changes with what a reader of the JSON would have to know: new keys and events change nothing."""
EVERY_S = 0.2
"""Least time between two JSON objects of one stage, but for its first and its last."""
PIXEL_BAR = "{l_bar}{bar}| {n:.1f}/{total:.1f} Mpx [{elapsed}<{remaining}, {rate_noinv_fmt}]"

Told = Callable[[int, int], None]
"""Called with what is done and what there is in all."""

progress_option = click.option(
    "--progress",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    expose_value=False,
    help="Bars on a terminal, bars, JSON lines on stderr, or nothing.",
)
"""For every command that may take long; `begin` reads it, as bad usage is told in its form, too."""


class _Telling:
    """How this process tells, and what it has told."""

    def __init__(self, mode: str = "auto") -> None:
        self.mode = mode
        self.started = time.monotonic()
        self.warnings: list[str] = []
        self.bars = 0


_telling = _Telling()


def begin(arguments: Sequence[str]) -> None:
    """Begin a command: find out how it tells, and tell that it begins.

    Args:
        arguments: those of the command line.
    """
    global _telling
    _telling = _Telling(_mode(arguments))
    if is_json():
        from geodeeplab import __version__

        _emit("start", protocol=PROTOCOL, version=__version__, command=next(iter(arguments), None))


@contextmanager
def progress_bar(stage: str = "", *, unit: str = "px", about: Mapping[str, object] | None = None) -> Iterator[Told]:
    """Lend a callback that tells how far a stage of the work is; it hears Ctrl-C too.

    Args:
        stage: what is being done, one word.
        unit: what is counted; pixels are drawn as megapixels.
        about: more for the JSON, such as the scene.
    """
    if is_json():
        yield _JsonStage(stage, unit, about or {})
        return
    with ExitStack() as stack:
        bar = _Bar(stage, unit)
        stack.callback(bar.close)
        yield bar


@contextmanager
def progress_bars(units: Mapping[str, str]) -> Iterator[Callable[[str, int, int], None]]:
    """Lend a callback that is told the stage, too; each has a bar of its own, which the next one replaces.

    Args:
        units: what is counted in each stage.
    """
    stages: dict[str, Told] = {}
    with ExitStack() as stack:

        def update(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stack.pop_all().close()
                stages[stage] = stack.enter_context(progress_bar(stage, unit=units.get(stage, "steps")))
            stages[stage](done, total)

        yield update


def tell(message: str, *, is_progress: bool = False) -> None:
    """Say something on stderr.

    Args:
        message: one line, or a table.
        is_progress: it tells only how far the work is; `--progress none` leaves it out.
    """
    if is_json():
        _emit("message", message=message)
    elif not (is_progress and _telling.mode == "none"):
        _print(message)


def tell_warning(message: str) -> None:
    """Warn in one line."""
    _telling.warnings.append(message)
    if is_json():
        _emit("warning", message=message)
    else:
        _print(f"warning: {message}")


def tell_failed(scene: str, message: str) -> None:
    """Say that one scene of many failed, and the others go on."""
    if is_json():
        _emit("failed", scene=scene, message=message)
    else:
        _print(f"error: {message}")


def tell_done(outputs: Sequence[str | Path | None], facts: object) -> None:
    """Tell a program that started the command that it ends well; a person reads it on stdout.

    Args:
        outputs: paths that were written; None is left out.
        facts: what `--json` prints.
    """
    if is_json():
        paths = [str(path) for path in outputs if path is not None]
        _emit("done", outputs=paths, seconds=_seconds(), warnings=_telling.warnings, facts=facts)


def tell_error(message: str, error: BaseException, *, status: int) -> None:
    """Say in one line why the command ends.

    Args:
        message: the line.
        error: what was raised.
        status: the exit status.
    """
    if is_json():
        kind = type(error).__name__
        _emit("error", message=message, type=kind, status=status, seconds=_seconds(), warnings=_telling.warnings)
    else:
        click.echo(f"error: {message}", err=True)


def tell_bug(error: BaseException) -> None:
    """Tell a program that started the command of an error that is none of ours; its traceback follows."""
    if is_json():
        tell_error(f"{type(error).__name__}: {error}", error, status=1)


class _JsonStage:
    """A stage, told as JSON objects; the rate is that of this run, without what an earlier one had done."""

    def __init__(self, stage: str, unit: str, about: Mapping[str, object]) -> None:
        self._fixed = {"stage": stage, **about}
        self._unit = unit
        self._begun: tuple[float, int] | None = None
        self._told_at = self._told_done = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        check_interruption()
        now = time.monotonic()
        if self._begun is None:
            self._begun = now, done
        is_last = done >= total > self._told_done
        if not is_last and now - self._told_at < EVERY_S:
            return
        self._told_at, self._told_done = now, done
        seconds, of_this_run = now - self._begun[0], done - self._begun[1]
        rate = of_this_run / seconds if seconds > 0 and of_this_run > 0 else None
        eta_s = None if rate is None else round(max(0, total - done) / rate, 1)
        rate = None if rate is None else float(f"{rate:.4g}")
        _emit("progress", **self._fixed, done=done, total=total, unit=self._unit, rate=rate, eta_s=eta_s)


class _Bar:
    """A stage, drawn as a bar, which appears when its total is known, as the format needs it."""

    def __init__(self, stage: str, unit: str) -> None:
        self._stage, self._unit = stage, unit
        self._bar: Any = None  # of tqdm
        self._hidden = not (_telling.mode == "bar" or (_telling.mode == "auto" and sys.stderr.isatty()))

    def __call__(self, done: int, total: int) -> None:
        check_interruption()
        if self._hidden:
            return
        scale = 1e6 if self._unit == "px" else 1
        if self._bar is None:
            self._bar = self._open(total / scale)
        self._bar.update(done / scale - self._bar.n)

    def _open(self, total: float) -> Any:  # noqa: ANN401 - a bar of tqdm, loaded only here
        from tqdm import tqdm

        _telling.bars += 1
        shape = {"unit": "Mpx", "bar_format": PIXEL_BAR} if self._unit == "px" else {"unit": self._unit}
        bar: tqdm[NoReturn] = tqdm(total=total, desc=self._stage or None, leave=False, **shape)  # type: ignore[call-overload]
        return bar

    def close(self) -> None:
        if self._bar is not None:
            _telling.bars -= 1
            self._bar.close()


def _mode(arguments: Sequence[str]) -> str:
    """Find the last `--progress` of a command line, which may be one that cannot be parsed."""
    mode = "auto"
    for index, one in enumerate(arguments):
        name, equals, value = one.partition("=")
        if name == "--progress":
            value = value if equals else next(iter(arguments[index + 1 :]), "")
            mode = value if value in MODES else mode
    return mode


def is_json() -> bool:
    """Tell whether stderr is read by a program."""
    return _telling.mode == "json"


def _seconds() -> float:
    return round(time.monotonic() - _telling.started, 3)


def _emit(event: str, **facts: object) -> None:
    click.echo(json.dumps({"event": event, **facts}, default=str), err=True)


def _print(message: str) -> None:
    """Print on stderr, above the bars that are there."""
    if _telling.bars:
        from tqdm import tqdm

        tqdm.write(message, file=sys.stderr)
    else:
        click.echo(message, err=True)
