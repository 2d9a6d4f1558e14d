"""A table of training data for people."""

from collections.abc import Mapping, Sequence
from typing import Any


class Description:
    """What there is to know of training data: text when printed, and the facts behind it."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """Take the facts."""
        self._facts = dict(facts)

    def facts(self) -> dict[str, Any]:
        """Give all facts, as JSON can hold them."""
        return self._facts

    def __str__(self) -> str:
        parts = [_head(self._facts), _class_table(self._facts), _band_table(self._facts), _lines(self._facts)]
        return "\n\n".join("\n".join(part) for part in parts)

    __repr__ = __str__


def _head(facts: Mapping[str, Any]) -> list[str]:
    gsd = "unknown" if facts["gsd_m"] is None else f"{facts['gsd_m']:.3g} m"
    scenes = facts["scenes"]
    lines = [f"{len(scenes)} scene{'s' if len(scenes) != 1 else ''}, {facts['dtype']}, ground sample distance {gsd}"]
    return lines


def _class_table(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            str(item["id"]),
            item["name"],
            f"{item['train_pixels']:,}",
            _percent(item["train_share"]),
            f"{item['val_pixels']:,}",
            _percent(item["val_share"]),
        ]
        for item in facts["classes"]
    ]
    return _table([["id", "class", "train px", "share", "val px", "share"], *rows], left={1})


def _band_table(facts: Mapping[str, Any]) -> list[str]:
    rows = [[item["name"], *(f"{item[key]:.5g}" for key in ("mean", "std", "low", "high"))] for item in facts["bands"]]
    return _table([["band", "mean", "std", "least", "greatest"], *rows], left={0})


def _lines(facts: Mapping[str, Any]) -> list[str]:
    split, leakage = facts["split"], facts["leakage"]
    blocks = "" if split["block_size"] is None else f" of {split['block_size']} px"
    buffer = "" if split["buffer"] is None else f", a buffer of {split['buffer']} px around them"
    lines = [
        f"split    {split['kind']}{blocks}: {split['val_units']} of {split['units']} for validation{buffer}; "
        f"{_percent(split['val_share'])} of the labelled pixels validate, {_percent(split['train_share'])} train, "
        f"{_percent(split['unused_share'])} lie in the buffer",
        f"leakage  {leakage['note']}",
        f"ignored  {_percent(facts['ignored_share'])} of the valid pixels have no label",
        f"chips    {facts['train_chips']:,} of {facts['chip_size']} px in an epoch, {facts['val_chips']:,} to validate",
        f"batch    {facts['batch_size']} chips: {facts['batch_reason']}",
        f"memory   {facts['scenes_in_memory']} of {len(facts['scenes'])} scenes are kept decoded",
    ]
    return lines


def _table(rows: Sequence[Sequence[str]], *, left: set[int]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
