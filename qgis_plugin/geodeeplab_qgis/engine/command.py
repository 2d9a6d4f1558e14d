"""A command of `geodeeplab`, run to its end: progress, warnings and messages on the way, facts or an error at last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .errors import CancelledError, CommandError, PluginError
from .process import GRACE_S, follow
from .protocol import Event, Tracker, check_protocol, parse_line

KEPT_LINES = 30
"""So many of the last lines that are not of the protocol explain a crash."""


class Listener(Protocol):
    """Who is told; a feedback of QGIS behind a thin layer."""

    def is_cancelled(self) -> bool:
        """Tell whether the user has cancelled."""

    def progress(self, percent: float) -> None:
        """Hear how much is done."""

    def stage(self, text: str) -> None:
        """Hear what is being done, now and then."""

    def message(self, text: str) -> None:
        """Hear what the command says, lines of a report."""

    def warning(self, text: str) -> None:
        """Hear a warning, one line."""

    def log(self, text: str) -> None:
        """Hear what a library printed."""


def run_command(
    command: Path, arguments: Sequence[str], *, stages: Sequence[str], listener: Listener, grace_s: float = GRACE_S
) -> Mapping[str, Any]:
    """Run a command.

    Args:
        command: The command `geodeeplab`.
        arguments: What follows it.
        stages: The stages that it will tell of, in order.
        listener: Who is told.
        grace_s: Seconds that it may take to end when it is cancelled.

    Returns:
        The object of its `done`.

    Raises:
        CommandError: It failed; the message is its own.
        CancelledError: It was cancelled.
        PluginError: It does not start, or speaks another protocol.
    """
    run = _Run(Tracker(stages), listener)
    try:
        status = follow(
            [str(command), *arguments], on_line=run.hear, is_cancelled=listener.is_cancelled, grace_s=grace_s
        )
    except OSError as error:
        raise PluginError(
            f"'{command}' does not start ({error.strerror or error}): name another environment in Plugins ▸ GeoDeepLab "
            "▸ Settings, or make one there"
        ) from error
    return run.end(status, was_cancelled=listener.is_cancelled())


class _Run:
    """One run, as heard."""

    def __init__(self, tracker: Tracker, listener: Listener) -> None:
        self._tracker, self._listener = tracker, listener
        self._last: Event | None = None
        self._others: list[str] = []
        self._failed: list[str] = []

    def hear(self, stream: str, line: str) -> None:
        """Hear a line; what is printed on stdout is for people."""
        event = parse_line(line) if stream == "stderr" else None
        if event is not None:
            self._hear_event(event)
        elif stream == "stdout":
            self._listener.message(line)
        elif line.strip():
            self._others = [*self._others, line][-KEPT_LINES:]
            self._listener.log(line)

    def _hear_event(self, event: Event) -> None:
        if event.kind == "start":
            check_protocol(event)
        elif event.kind == "progress":
            self._listener.progress(self._tracker.percent(event))
            news = self._tracker.news(event)
            if news:
                self._listener.stage(news)
        elif event.kind == "warning":
            self._listener.warning(event.text("message"))
        elif event.kind == "message":
            self._listener.message(event.text("message"))
        elif event.kind == "failed":
            self._failed.append(event.text("message"))
            self._listener.warning(event.text("message"))
        elif event.kind in ("done", "error"):
            self._last = event

    def end(self, status: int, *, was_cancelled: bool) -> Mapping[str, Any]:
        """Give the facts, or raise what went wrong."""
        if self._last is not None and self._last.kind == "done" and status == 0:
            return self._last.facts
        told = in_words_of_the_dialog(self._last.text("message")) if self._last is not None else ""
        if was_cancelled:
            raise CancelledError(f"cancelled: {told or WORK_IS_KEPT}")
        if self._last is not None and self._last.kind == "error":
            raise CommandError(told or f"geodeeplab failed with status {status}, and told no reason")
        detail = f"; its last line: {self._others[-1].strip()}" if self._others else ""
        how = f"was killed (signal {-status}), perhaps as memory ran out" if status < 0 else f"ended with {status}"
        raise CommandError(f"geodeeplab {how}{detail}")


GO_ON = "Go on with a run that was cut off"
"""The name of the parameter that becomes `--resume`."""
WORK_IS_KEPT = f"what was finished is kept beside the outputs; to go on, run it again with '{GO_ON}'"


def in_words_of_the_dialog(message: str) -> str:
    """Replace the option `--resume` by its parameter; `--overwrite` stands where that is not ticked."""
    return (
        message.replace("pass --resume", f"tick '{GO_ON}'")
        .replace("--resume", f"'{GO_ON}'")
        .replace("pass --overwrite", f"leave '{GO_ON}' unticked")
    )
