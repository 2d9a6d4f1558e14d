"""From labelled scenes to training data: index, split, statistics, chips."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.models import ModelBand, ModelClass
from geodeeplab.raster.bands import find_bands
from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.batch import epoch_steps, settle_batch
from geodeeplab.training.data import TrainingData
from geodeeplab.training.data_facts import (
    band_facts,
    class_facts,
    find_doubts,
    ignored_share,
    leakage_facts,
    scene_facts,
    split_facts,
)
from geodeeplab.training.sampling.cells import BandStatistics, band_statistics, cell_size, index_scene
from geodeeplab.training.sampling.chip_sets import RandomChips, SideBySideChips
from geodeeplab.training.sampling.leakage import Leakage, shared_ground
from geodeeplab.training.sampling.split import Split, SplitRule, class_pixels, split_scenes, train_cells, val_cells
from geodeeplab.training.scenes.held import HeldScene, hold_scenes
from geodeeplab.training.scenes.labelled import LabelledScene

LEAST_CHIP = 16
LEAST_STEPS, MOST_STEPS = 64, 640
"""Steps of an epoch whose chips are not asked for: little labelled ground is seen more often, at other places, scales
and angles each time, and much of it not all at once."""


@dataclass(frozen=True, kw_only=True)
class ChipPlan:
    """How chips are made of labelled scenes."""

    chip_size: int = 256
    """Height and width of a chip in pixels."""
    batch_size: int | None = None
    """Chips of a step; None for 8."""
    micro_batch: int | None = None
    """Chips at once; None for the batch, or, where that is not asked for either, what the free memory holds of it."""
    rule: SplitRule
    """How to split."""
    augmentation: Augmentation | None = None
    """Random changes of the training chips; None for none."""
    class_balance: float = 0.5
    """Share of training chips that are drawn for a class, each class as often as the others."""
    epoch_chips: int | None = None
    """Training chips of an epoch; None: about as many as cover the labelled training ground, within `LEAST_STEPS` and
    `MOST_STEPS`."""
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
            raise OptionError(f"a chip has at least {LEAST_CHIP} pixels along each axis, not {self.chip_size}: try 256")
        if self.epoch_chips is not None and self.epoch_chips < 1:
            raise OptionError(f"an epoch has at least 1 chip, not {self.epoch_chips}: leave it out")
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
    batch = settle_batch(plan.chip_size, chips=plan.batch_size, micro=plan.micro_batch)
    train = RandomChips(
        held,
        indices,
        split,
        chip_size=plan.chip_size,
        augmentation=plan.augmentation,
        class_balance=plan.class_balance,
        seed=plan.seed,
        least=batch.chips * (LEAST_STEPS if plan.epoch_chips is None else 1),
        most=batch.chips * MOST_STEPS,
        epoch_chips=plan.epoch_chips,
    )
    val = SideBySideChips(held, indices, split, chip_size=plan.chip_size)
    bands = _model_bands(held[0], statistics, plan.augmentation)
    dtype = np.result_type(*(band.dtype for scene in held for band in scene.bands))
    facts = {
        **(provenance or {}),
        **scene_facts(held, split, indices),
        "dtype": str(dtype),
        "gsd_m": gsd_m,
        "classes": class_facts(classes, *counts),
        "bands": band_facts(bands, statistics),
        "split": split_facts(split, plan.rule, indices, *counts),
        "leakage": leakage_facts(leakage, split),
        "ignored_share": ignored_share(indices),
        "chip_size": plan.chip_size,
        "train_chips": len(train),
        "epoch_steps": epoch_steps(len(train), batch.chips),
        "val_chips": len(val),
        "batch_size": batch.chips,
        "micro_batch": batch.micro,
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
        micro_batch=batch.micro,
        batch_device=batch.device,
        seed=plan.seed,
        augmentation=plan.augmentation,
        class_pixels=tuple(counts[0].tolist()),
        train=train,
        val=val,
        rgb_channels=_rgb(plan, len(bands)),
        display_range=tuple((float(low), float(high)) for low, high in statistics.display),
        provenance=facts,
        files=tuple(dict.fromkeys(file for scene in scenes for file in scene.files)),
    )


def _rgb(plan: ChipPlan, channels: int) -> tuple[int, int, int]:
    """Give the channels to show: those asked for, the first three, or the first thrice."""
    if plan.rgb_channels is not None:
        return plan.rgb_channels
    return (0, 1, 2) if channels >= 3 else (0, 0, 0)


def _value_range(statistics: BandStatistics) -> tuple[float, float]:
    low, high = float(statistics.low.min()), float(statistics.high.max())
    return (low, high) if low < high else (low, low + 1)


def _model_bands(
    first: HeldScene, statistics: BandStatistics, augmentation: Augmentation | None
) -> tuple[ModelBand, ...]:
    """Give the bands with their statistics.

    Raises:
        OptionError: for a name of an optional band that none has, or if all of them are optional.
    """
    wanted = () if augmentation is None else augmentation.optional_bands
    optional = find_bands(first.bands, wanted, path=first.name) if wanted else ()
    if len(set(optional)) == len(first.bands):
        raise OptionError("`optional_bands=` are some of the bands, not all: leave out those that every scene has")
    return tuple(
        ModelBand(
            name=band.name,
            mean=float(mean),
            std=float(std),
            scale=band.scale,
            offset=band.offset,
            is_optional=band in optional,
        )
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
    for message in find_doubts(scenes, classes, split, leakage, counts):
        warnings.warn(message, GeoDeepLabWarning, stacklevel=4)
