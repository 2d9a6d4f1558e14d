"""What `geodeeplab --progress json` tells on stderr, one JSON object a line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import PluginError

PROTOCOL = 1
"""The version of the protocol that is understood here; new keys and events do not change it."""

NEWS_S, NEWS_SHARE = 5.0, 0.02
"""Least time, and least share of a stage, between two lines on how far it is: QGIS keeps them all in its log."""
SHARES: Mapping[str, float] = {"features": 0.6, "head": 0.05, "report": 0.05}
"""What part of the time of `adapt` its stages take before the map; a stage that is not here takes what is left."""


@dataclass(frozen=True)
class Event:
    """One object of the protocol."""

    kind: str
    """`start`, `progress`, `warning`, `message`, `failed`, `done`, `error`, or one to come."""
    facts: Mapping[str, Any]
    """The whole object."""

    def text(self, key: str) -> str:
        """Give a value as text, empty where there is none."""
        return str(self.facts.get(key) or "")


def parse_line(line: str) -> Event | None:
    """Read one line; None where it is no object of the protocol but what a library or a crash printed."""
    if not line.startswith("{"):
        return None
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    if not isinstance(facts, dict) or not isinstance(facts.get("event"), str):
        return None
    return Event(kind=facts["event"], facts=facts)


def check_protocol(start: Event) -> None:
    """Refuse a command that speaks another protocol.

    Raises:
        PluginError: it does.
    """
    found = start.facts.get("protocol")
    if found != PROTOCOL:
        version = start.text("version")
        raise PluginError(
            f"geodeeplab {version} speaks protocol {found}, this plugin {PROTOCOL}: install plugin and environment of "
            "one version"
        )


class Tracker:
    """How far a command is as a whole, from how far each of its stages is. It never goes back.

    Args:
        stages: those that are to come, in their order.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        known = {stage: SHARES.get(stage, 0.0) for stage in stages}
        rest = [stage for stage in stages if stage not in SHARES]
        left = 1.0 - sum(known.values())
        if rest:
            known.update(dict.fromkeys(rest, left / len(rest)))
        else:
            known = {stage: share / (1.0 - left) for stage, share in known.items()}
        self._shares = known
        self._percent = 0.0
        self._told = "", 0.0, 0.0

    def percent(self, event: Event) -> float:
        """Give how much of all is done after a `progress`, in percent."""
        stage, scenes = event.text("stage"), max(1, _number(event, "scenes", 1))
        if stage in self._shares:
            before = sum(self._shares[one] for one in list(self._shares)[: list(self._shares).index(stage)])
            done = (max(1, _number(event, "scene_number", 1)) - 1 + _fraction(event)) / scenes
            self._percent = max(self._percent, 100.0 * min(1.0, before + self._shares[stage] * done))
        return self._percent

    def news(self, event: Event, now: float | None = None) -> str:
        """Say how far the stage is, where that is news: at its begin, and now and then; else nothing.

        Args:
            event: A `progress`.
            now: Seconds of any clock.
        """
        now = time.monotonic() if now is None else now
        stage, share = f"{event.text('stage')} {event.text('scene_number')}", _fraction(event)
        told, told_at, told_share = self._told
        if stage == told and (now - told_at < NEWS_S or share - told_share < NEWS_SHARE):
            return ""
        self._told = stage, now, share
        return describe(event)


def describe(event: Event) -> str:
    """Say how far a stage is, such as `segment: 4.2 of 100 Mpx, 1.5 Mpx/s, 64 s left`."""
    unit = event.text("unit")
    scale, unit = (1e6, "Mpx") if unit == "px" else (1.0, unit)
    scenes = _number(event, "scenes", 1)
    which = f" (scene {_number(event, 'scene_number', 1):.0f} of {scenes:.0f})" if scenes > 1 else ""
    words = [f"{_short(_number(event, 'done') / scale)} of {_short(_number(event, 'total') / scale)} {unit}"]
    if event.facts.get("rate"):
        words.append(f"{_short(_number(event, 'rate') / scale)} {unit}/s")
    if event.facts.get("eta_s"):
        words.append(f"{_number(event, 'eta_s'):.0f} s left")
    return f"{event.text('stage')}{which}: {', '.join(words)}"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _fraction(event: Event) -> float:
    total = _number(event, "total")
    return min(1.0, _number(event, "done") / total) if total > 0 else 0.0


def _number(event: Event, key: str, otherwise: float = 0.0) -> float:
    value = event.facts.get(key)
    return float(value) if isinstance(value, (int, float)) else otherwise
