"""What became of one scene of many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["done", "done before", "failed"]


@dataclass(frozen=True, kw_only=True)
class SceneRun:
    """A scene of many: its results and the facts about it, or why there are none."""

    scene: str
    """Its path or URL; of an item of a STAC item collection, that of the collection with `#` and the item's id."""
    status: Status
    """`done`, `done before` where its results were there already, or `failed`."""
    outputs: tuple[str, ...]
    """Paths of its results, which are there unless it failed."""
    error: str | None = None
    """One line: why it failed."""
    seconds: float | None = None
    """How long it took; None of what was done before and nobody noted."""
    facts: Mapping[str, Any] | None = None
    """What the run did, see `Segmentation.facts`; None where there was none."""
    warnings: tuple[str, ...] = ()
    """What it warned of on a worker; in this process that was told at once."""
    traceback: str | None = None
    """Of an error that is none of GeoDeepLab's own, for a report."""
