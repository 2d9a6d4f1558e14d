"""The facts of training data, as JSON can hold them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.models import ModelBand, ModelClass
from geodeeplab.training.sampling.cells import BandStatistics, CellIndex
from geodeeplab.training.sampling.ground import grounds_of
from geodeeplab.training.sampling.leakage import Leakage
from geodeeplab.training.sampling.split import TRAIN, Split, SplitRule
from geodeeplab.training.scenes.held import HeldScene

MOST_LISTED = 4
"""Names that a message lists."""


def scene_facts(scenes: Sequence[HeldScene], split: Split, indices: Sequence[CellIndex]) -> dict[str, Any]:
    """Give what there is to know of each scene; how many files it has, but not where they lie."""
    listed = []
    for scene, roles, index in zip(scenes, split.roles, indices, strict=True):
        labelled = index.labelled.sum(axis=0)
        sides = {"train_pixels": int(labelled[roles == TRAIN].sum()), "val_pixels": int(labelled[roles >= 0].sum())}
        shape = list(scene.grid.shape)
        listed.append({"name": scene.name, "shape": shape, "group": scene.group, "files": len(scene.files), **sides})
    return {"scenes": listed, "scenes_in_memory": sum(scene.is_held for scene in scenes)}


def class_facts(
    classes: Sequence[ModelClass], train: npt.NDArray[np.int64], val: npt.NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Give each class with its pixels (K,) of training and of validation."""
    return [
        {
            "id": item.id,
            "name": item.name,
            "color": list(item.color),
            "train_pixels": int(here),
            "train_share": float(here / train.sum()),
            "val_pixels": int(there),
            "val_share": float(there / val.sum()),
        }
        for item, here, there in zip(classes, train, val, strict=True)
    ]


def band_facts(bands: Sequence[ModelBand], statistics: BandStatistics) -> list[dict[str, Any]]:
    """Give each band with its statistics."""
    return [
        {"name": band.name, "mean": band.mean, "std": band.std, "low": float(low), "high": float(high)}
        for band, low, high in zip(bands, statistics.low, statistics.high, strict=True)
    ]


def split_facts(
    split: Split,
    rule: SplitRule,
    indices: Sequence[CellIndex],
    train: npt.NDArray[np.int64],
    val: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """Give the split and the shares of the labelled pixels."""
    total = sum(int(index.labelled.sum()) for index in indices)
    return {
        "kind": split.kind,
        "block_size": split.block_size,
        "buffer": split.buffer,
        "units": split.units,
        "val_units": split.val_units,
        "stratify": rule.stratify,
        "train_share": float(train.sum() / total),
        "val_share": float(val.sum() / total),
        "unused_share": float(1 - (train.sum() + val.sum()) / total),
    }


def leakage_facts(leakage: Leakage, split: Split) -> dict[str, Any]:
    """Give what is known of ground in common."""
    if split.kind == "random":
        note = "chips at random: validation chips adjoin training chips"
    elif split.kind == "blocks":
        note = "none: blocks of the ground with a buffer"
    elif leakage.share is None:
        note = "unknown: the scenes have no CRS"
    else:
        note = f"{100 * leakage.share:.1f} % of the validation scenes' ground is in training scenes, too"
    if leakage.unknown and leakage.share is not None:
        note += f"; unknown of {len(leakage.unknown)} scenes without a CRS"
    pairs = [list(pair) for pair in leakage.pairs]
    return {"share": leakage.share, "pairs": pairs, "unknown": list(leakage.unknown), "note": note}


def ignored_share(indices: Sequence[CellIndex]) -> float:
    """Give the share of the valid pixels that have no label."""
    valid, labelled = (sum(int(one.sum()) for one in each) for each in (
        [index.valid for index in indices], [index.labelled for index in indices]
    ))  # fmt: skip
    return 1 - labelled / valid if valid else 0.0


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
    table = _table([["band", "mean", "std", "least", "greatest"], *rows], left={0})
    left_out = facts.get("bands_left_out")
    return [*table, f"left out: band {', '.join(left_out)}, which says where pixels are valid"] if left_out else table


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
        f"chips    {facts['train_chips']:,} of {facts['chip_size']} px in an epoch of {facts['epoch_steps']:,} steps, "
        f"{facts['val_chips']:,} to validate",
        f"batch    {facts['batch_size']} chips, {facts['micro_batch']} at once: {facts['batch_reason']}",
        f"memory   {facts['scenes_in_memory']} of {len(facts['scenes'])} scenes are kept decoded",
    ]
    if objects := facts.get("instances"):
        names, width = ", ".join(objects["classes"]), objects["boundary_px"]
        lines.append(f"objects  of {names}, told apart by boundaries of {width} px")
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


def find_doubts(
    scenes: Sequence[HeldScene],
    classes: Sequence[ModelClass],
    split: Split,
    leakage: Leakage,
    counts: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> list[str]:
    """Give what speaks against a split, a line each.

    Args:
        scenes: all scenes.
        classes: of the labels.
        split: of the scenes.
        leakage: ground in common.
        counts: (K,) labelled pixels of training and of validation.
    """
    doubts = []
    if split.kind == "random":
        doubts.append(
            "`split='random'` leaks: validation chips adjoin training chips and show the same objects, and scenes of "
            "the same ground are on both sides, so scores are too good; `split='blocks'` keeps them apart"
        )
    if leakage.share:
        pairs = _listed([f"'{train}' and '{val}'" for train, val in leakage.pairs])
        doubts.append(
            f"the split leaks: {100 * leakage.share:.0f} % of the validation scenes' ground is in training scenes, too "
            f"({pairs}), so scores are too good; `split='blocks'` keeps them apart"
        )
    if split.kind == "blocks" and leakage.unknown and len(grounds_of([scene.grid for scene in scenes])) > 1:
        doubts.append(
            f"{len(leakage.unknown)} of {len(scenes)} scenes have no CRS ({_listed(leakage.unknown)}), so nobody can "
            "tell whether they show the same or neighbouring ground; if they do, give groups, one for each scene"
        )
    for side, pixels in zip(("training", "validation"), counts, strict=True):
        missing = [item.name for item, count in zip(classes, pixels, strict=True) if not count]
        if missing:
            doubts.append(
                f"no pixel of {_listed(missing)} is among the {side} pixels: give smaller blocks, or label more of it"
            )
    return doubts


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f", and {rest} more" if rest > 0 else "")
