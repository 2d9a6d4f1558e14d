"""From labelled scenes to training data: index, split, statistics, chips."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.models import ModelBand, ModelClass
from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.batch import BatchSize, choose_batch_size
from geodeeplab.training.cells import BandStatistics, CellIndex, band_statistics, cell_size, index_scene
from geodeeplab.training.chip_sets import RandomChips, SideBySideChips
from geodeeplab.training.data import TrainingData
from geodeeplab.training.ground import grounds_of
from geodeeplab.training.held import HeldScene, hold_scenes
from geodeeplab.training.labelled import LabelledScene
from geodeeplab.training.leakage import Leakage, shared_ground
from geodeeplab.training.split import Split, SplitRule, class_pixels, split_scenes, train_cells, val_cells

MOST_LISTED = 4
"""Names that a message lists."""
LEAST_CHIP = 16


@dataclass(frozen=True, kw_only=True)
class ChipPlan:
    """How chips are made of labelled scenes."""

    chip_size: int = 512
    """Height and width of a chip in pixels."""
    batch_size: int | None = None
    """Chips in a batch; None: from the free memory."""
    rule: SplitRule
    """How to split."""
    augmentation: Augmentation | None = None
    """Random changes of the training chips; None for none."""
    class_balance: float = 0.5
    """Share of training chips that are drawn for a class, each class as often as the others."""
    memory_bytes: int = 1_000_000_000
    """Decoded scenes that are kept in memory, at most."""
    rgb_channels: tuple[int, int, int] | None = None
    """Channels (from 0) to show; None for the first three."""
    seed: int = 0
    """What the split and the chips are drawn by."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if one is out of its range.
        """
        if self.chip_size < LEAST_CHIP:
            raise OptionError(f"a chip has at least {LEAST_CHIP} pixels along each axis, not {self.chip_size}: try 512")
        if self.batch_size is not None and self.batch_size < 1:
            raise OptionError(f"a batch has at least 1 chip, not {self.batch_size}: leave it out for a size that fits")
        if self.memory_bytes < 0 or self.seed < 0:
            raise OptionError(f"memory and seed are 0 or more, not {self.memory_bytes} and {self.seed}")


def assemble(
    scenes: Sequence[LabelledScene],
    classes: Sequence[ModelClass],
    plan: ChipPlan,
    *,
    gsd_m: float | None,
    provenance: Mapping[str, Any] | None = None,
) -> TrainingData:
    """Make training data of labelled scenes, in one pass over all of them.

    Args:
        scenes: at least one; with the same bands, at the same ground sample distance.
        classes: in the order of the label indices.
        plan: the numbers.
        gsd_m: of the scenes; None where it is unknown.
        provenance: what else is to be known of the data, as JSON can hold it.

    Warns:
        GeoDeepLabWarning: chips of both sides show the same or neighbouring ground; a class is missing on one side;
            it is unknown what ground scenes show.

    Raises:
        OptionError: nothing is labelled, or one side would have no labelled pixel.
        SceneError: a file is damaged, or the scenes do not go together.
    """
    if not scenes:
        raise OptionError("training data are made of at least one scene, got none: give scenes")
    held = hold_scenes(scenes, limit=plan.memory_bytes)
    indices = [
        index_scene(scene, cell=cell_size(plan.chip_size, scene.grid), num_classes=len(classes)) for scene in held
    ]
    if not any(index.labelled.any() for index in indices):
        raise OptionError(
            f"none of the {len(scenes)} scenes has a labelled valid pixel: check that labels and scenes show the same "
            "ground, and the class mapping"
        )
    split = split_scenes(held, indices, plan.rule, chip_size=plan.chip_size, seed=plan.seed)
    statistics = band_statistics(indices, train_cells(split))
    if statistics is None:
        raise SceneError("the training scenes have no valid pixel: check nodata and masks")
    counts = class_pixels(indices, train_cells(split)), class_pixels(indices, val_cells(split))
    leakage = _leakage(held, split)
    _warn(held, classes, split, leakage, counts)
    batch = _batch(plan)
    train = RandomChips(
        held,
        indices,
        split,
        chip_size=plan.chip_size,
        augmentation=plan.augmentation,
        class_balance=plan.class_balance,
        seed=plan.seed,
        least=batch.chips,
    )
    val = SideBySideChips(held, indices, split, chip_size=plan.chip_size)
    bands = _model_bands(held[0], statistics)
    dtype = np.result_type(*(band.dtype for scene in held for band in scene.bands))
    facts = {
        **(provenance or {}),
        **_scene_facts(held, split, indices),
        "dtype": str(dtype),
        "gsd_m": gsd_m,
        "classes": _class_facts(classes, *counts),
        "bands": _band_facts(bands, statistics),
        "split": _split_facts(split, plan, indices, *counts),
        "leakage": _leakage_facts(leakage, split),
        "ignored_share": _ignored_share(indices),
        "chip_size": plan.chip_size,
        "train_chips": len(train),
        "val_chips": len(val),
        "batch_size": batch.chips,
        "batch_reason": batch.reason,
        "class_balance": plan.class_balance,
        "seed": plan.seed,
    }
    return TrainingData(
        classes=tuple(classes),
        bands=bands,
        dtype=str(dtype),
        value_range=(0.0, 255.0) if dtype == np.uint8 else _value_range(statistics),
        gsd_m=gsd_m,
        chip_size=plan.chip_size,
        batch_size=batch.chips,
        seed=plan.seed,
        augmentation=plan.augmentation,
        class_pixels=tuple(counts[0].tolist()),
        train=train,
        val=val,
        rgb_channels=_rgb(plan, len(bands)),
        display_range=tuple((float(low), float(high)) for low, high in statistics.display),
        provenance=facts,
    )


def _batch(plan: ChipPlan) -> BatchSize:
    if plan.batch_size is None:
        return choose_batch_size(plan.chip_size)
    return BatchSize(chips=plan.batch_size, reason="as asked for")


def _rgb(plan: ChipPlan, channels: int) -> tuple[int, int, int]:
    """Give the channels to show: those asked for, the first three, or the first thrice."""
    if plan.rgb_channels is not None:
        return plan.rgb_channels
    return (0, 1, 2) if channels >= 3 else (0, 0, 0)


def _value_range(statistics: BandStatistics) -> tuple[float, float]:
    low, high = float(statistics.low.min()), float(statistics.high.max())
    return (low, high) if low < high else (low, low + 1)


def _model_bands(first: HeldScene, statistics: BandStatistics) -> tuple[ModelBand, ...]:
    return tuple(
        ModelBand(name=band.name, mean=float(mean), std=float(std), scale=band.scale, offset=band.offset)
        for band, mean, std in zip(first.bands, statistics.mean, statistics.std, strict=True)
    )


def _leakage(scenes: Sequence[HeldScene], split: Split) -> Leakage:
    """Look for ground in common; a split into blocks has none."""
    grids, names = [scene.grid for scene in scenes], [scene.name for scene in scenes]
    if split.kind == "blocks":
        unknown = tuple(scene.name for scene in scenes if scene.grid.crs is None)
        return Leakage(share=0.0, pairs=(), unknown=unknown if len(scenes) > 1 else ())
    if split.kind == "random":
        return Leakage(share=None, pairs=(), unknown=())
    return shared_ground(grids, names, [bool((roles >= 0).any()) for roles in split.roles])


def _warn(
    scenes: Sequence[HeldScene],
    classes: Sequence[ModelClass],
    split: Split,
    leakage: Leakage,
    counts: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> None:
    """Say what speaks against the split."""
    for message in _doubts(scenes, classes, split, leakage, counts):
        warnings.warn(message, GeoDeepLabWarning, stacklevel=4)


def _doubts(
    scenes: Sequence[HeldScene],
    classes: Sequence[ModelClass],
    split: Split,
    leakage: Leakage,
    counts: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> list[str]:
    doubts = []
    if split.kind == "random":
        doubts.append(
            "split='random' leaks: validation chips adjoin training chips and show the same objects, and scenes of the "
            "same ground are on both sides, so scores are too good; split='blocks' keeps them apart"
        )
    if leakage.share:
        pairs = _listed([f"'{train}' and '{val}'" for train, val in leakage.pairs])
        doubts.append(
            f"the split leaks: {100 * leakage.share:.0f} % of the validation scenes' ground is in training scenes, too "
            f"({pairs}), so scores are too good; split='blocks' keeps them apart"
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


def _scene_facts(scenes: Sequence[HeldScene], split: Split, indices: Sequence[CellIndex]) -> dict[str, Any]:
    listed = []
    for scene, roles, index in zip(scenes, split.roles, indices, strict=True):
        labelled = index.labelled.sum(axis=0)
        sides = {"train_pixels": int(labelled[roles == -2].sum()), "val_pixels": int(labelled[roles >= 0].sum())}
        shape = list(scene.grid.shape)
        listed.append({"name": scene.name, "shape": shape, "group": scene.group, "files": list(scene.files), **sides})
    return {"scenes": listed, "scenes_in_memory": sum(scene.is_held for scene in scenes)}


def _class_facts(
    classes: Sequence[ModelClass], train: np.ndarray[Any, Any], val: np.ndarray[Any, Any]
) -> list[dict[str, Any]]:
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


def _band_facts(bands: Sequence[ModelBand], statistics: BandStatistics) -> list[dict[str, Any]]:
    return [
        {"name": band.name, "mean": band.mean, "std": band.std, "low": float(low), "high": float(high)}
        for band, low, high in zip(bands, statistics.low, statistics.high, strict=True)
    ]


def _split_facts(
    split: Split,
    plan: ChipPlan,
    indices: Sequence[CellIndex],
    train: np.ndarray[Any, Any],
    val: np.ndarray[Any, Any],
) -> dict[str, Any]:
    total = sum(int(index.labelled.sum()) for index in indices)
    return {
        "kind": split.kind,
        "block_size": split.block_size,
        "buffer": split.buffer,
        "units": split.units,
        "val_units": split.val_units,
        "stratify": plan.rule.stratify,
        "train_share": float(train.sum() / total),
        "val_share": float(val.sum() / total),
        "unused_share": float(1 - (train.sum() + val.sum()) / total),
    }


def _leakage_facts(leakage: Leakage, split: Split) -> dict[str, Any]:
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


def _ignored_share(indices: Sequence[CellIndex]) -> float:
    valid, labelled = (sum(int(one.sum()) for one in each) for each in (
        [index.valid for index in indices], [index.labelled for index in indices]
    ))  # fmt: skip
    return 1 - labelled / valid if valid else 0.0
