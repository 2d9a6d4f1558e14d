"""The bundled models, and their cards. `models.json` beside the plugin is made by `make_zip.py --cards`."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT = "landcover-aerial"


@dataclass(frozen=True)
class Card:
    """What a model reads and gives, briefly."""

    name: str
    """What `--model` takes."""
    bands: str
    """Names of the bands that it reads."""
    classes: str
    """Names of the classes that it gives."""
    gsd_m: float | None
    """The pixel size that it was trained at, in metres."""
    licence: str
    """Of its weights."""
    scores: str
    """Mean IoU by data set, or nothing."""

    def to_html(self) -> str:
        """Give the card as a paragraph."""
        gsd = f" at {self.gsd_m:.2g} m" if self.gsd_m else ""
        rows = [f"<b>{_escape(self.name)}</b>", f"reads {_escape(self.bands)}{gsd}", f"gives {_escape(self.classes)}"]
        rows += [f"mean IoU {_escape(self.scores)}"] if self.scores else []
        rows += [_escape(self.licence)] if self.licence else []
        return f"<p>{'<br>'.join(rows)}</p>"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def to_card(contract: Mapping[str, Any]) -> Card:
    """Take from an object of `geodeeplab models --json` what a card shows."""
    metrics = contract.get("metrics") or {}
    scores = [f"{found['miou']:.2f} ({name})" for name, found in metrics.items() if "miou" in found]
    gsd_m = contract.get("gsd_m")
    return Card(
        name=contract["name"],
        bands=", ".join(band["name"] for band in contract["bands"]),
        classes=", ".join(item["name"] for item in contract["classes"]),
        gsd_m=None if gsd_m is None else round(gsd_m, 3),
        licence=contract.get("licence") or "",
        scores=", ".join(scores),
    )


def load_cards(path: Path) -> Sequence[Card]:
    """Read the cards that come with the plugin, the default model first."""
    cards = [Card(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    return sorted(cards, key=lambda card: card.name != DEFAULT)
