"""Whether a worker would give the same pixels: its pins against the client's."""

import json
import os
from collections.abc import Mapping
from typing import Any

from geodeeplab.errors import OptionError

NOT_COMPARED = ("scene",)
"""The name of the scene in messages: a path may be relative here and absolute there."""
MOST_NAMED = 4
"""As many differences as a message names."""


def check_agreement(here: Mapping[str, Any], there: Mapping[str, Any], *, worker: str) -> None:
    """Check that a worker's pins are the client's.

    Of the scene's files, names and sizes count, the time of the last change does not: copies have another one.

    Args:
        here: the client's pins.
        there: the worker's.
        worker: its address, for the message.

    Raises:
        OptionError: if they differ; it names what does.
    """
    mine, its = _comparable(here), _comparable(there)
    keys = [key for key in sorted(mine | its) if mine.get(key) != its.get(key)]
    if not keys:
        return
    named = [f"{key} is {_brief(its.get(key))} there, {_brief(mine.get(key))} here" for key in keys[:MOST_NAMED]]
    more = f"; {len(keys) - len(named)} more differ" if len(keys) > len(named) else ""
    raise OptionError(
        f"worker {worker} would not give the same pixels: {'; '.join(named)}{more}: "
        "use the same versions, files and kind of device here and there"
    )


def _comparable(pins: Mapping[str, Any]) -> dict[str, Any]:
    """Give pins as JSON would, and of files their names and sizes."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(pins), default=str))
    files = plain.get("scene_files") or []
    return {key: value for key, value in plain.items() if key not in NOT_COMPARED} | {
        "scene_files": [[os.path.basename(name), *rest[:1]] for name, *rest in files]
    }


def _brief(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
