"""The facts of training data, as JSON can hold them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.models import ModelBand, ModelClass
from geodeeplab.training.sampling.cells import BandStatistics, CellIndex
from geodeeplab.training.sampling.leakage import Leakage
from geodeeplab.training.sampling.split import TRAIN, Split, SplitRule
from geodeeplab.training.scenes.held import HeldScene


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
