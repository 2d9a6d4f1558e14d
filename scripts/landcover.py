"""What `landcover-aerial` is trained on, chosen by and reported on: Dubai, Ohio, coasts, and drawn scenes."""

from pathlib import Path
from typing import Any

import numpy as np

import coast
import dubai
import ohio
from aerial_data import IGNORE, REPORT_TILE, SELECT_TILE, TRAIN_TILES
from geodeeplab.models import Model
from geodeeplab.training import Augmentation, TrainingData, prepare_data

TRAIN_SEEDS, HELD_OUT_SEEDS = range(1000, 1032), range(2000, 2004)
"""Of the drawn scenes; the sample scene has another one."""
DRAWN_SHAPE = (768, 768)
OHIO_TRAIN, OHIO_SELECT = 8, 4
"""How often its areas are listed: Dubai has twenty times the ground, and five times that which chooses."""
DRAWN_TRAIN = 3
"""How often drawn scenes are listed: at a tenth of the ground the network took grey mangroves for water."""
Pair = tuple[Path, Path]
"""A scene and its labels."""


def prepare_landcover(
    data: Path,
    folder: Path,
    *,
    drawn: int,
    teacher: Model | None,
    chip_size: int,
    batch_size: int,
    epoch_chips: int,
    seed: int,
    augmentation: Augmentation | bool = True,
    class_balance: float = 0.5,
) -> TrainingData:
    """Prepare all sets, split by tiles and areas.

    Args:
        data: the folder of the sets; Ohio's may be missing.
        folder: where to write pairs of scenes and labels.
        drawn: how many drawn scenes join, those to choose by last.
        teacher: what names the land of coasts; None leaves coasts out.
        chip_size: see `prepare_data`, here and below.
        batch_size: chips.
        epoch_chips: chips.
        seed: of the chips.
        augmentation: of the chips.
        class_balance: of the chips.
    """
    train, select = real_pairs(data, folder)
    sources = [dubai.SOURCE, ohio.SOURCE][: 1 + has_ohio(data)]
    if teacher is not None:
        train += coast.write_photographs(data / "coast", folder, teacher)
        sources.append(coast.SOURCE)
    if drawn:
        seeds = [*TRAIN_SEEDS, *HELD_OUT_SEEDS][:drawn]
        train += [write_drawn(folder, seed) for seed in seeds if seed in TRAIN_SEEDS] * DRAWN_TRAIN
        select += [write_drawn(folder, seed) for seed in seeds if seed in HELD_OUT_SEEDS]
        sources.append("scenes drawn by scripts/aerial, CC0 1.0")
    pairs = [*train, *select]
    return prepare_data(
        scenes=[scene for scene, _ in pairs],
        labels=[labels for _, labels in pairs],
        classes=dubai.MODEL_CLASSES,
        val_scenes=range(len(train), len(pairs)),
        gsd_m=dubai.GSD_M,
        chip_size=chip_size,
        batch_size=batch_size,
        epoch_chips=epoch_chips,
        augmentation=augmentation,
        class_balance=class_balance,
        seed=seed,
        provenance={"sources": sources, "parts": split_facts()},
    )


def has_ohio(data: Path) -> bool:
    """Tell whether Ohio's set is there."""
    return (data / "ohio").is_dir()


def real_pairs(data: Path, folder: Path) -> tuple[list[Pair], list[Pair]]:
    """List the real scenes with their labels to train on, and to choose by; Ohio's as often as they count."""
    train = [dubai.write_tile(data / "dubai", folder, tile) for tile in TRAIN_TILES]
    select = [dubai.write_tile(data / "dubai", folder, SELECT_TILE)]
    if has_ohio(data):
        areas = ohio.write_areas(data / "ohio", folder)
        held_out = {*ohio.SELECT_AREAS, *ohio.REPORT_AREAS}
        train += [pair for name, pair in areas.items() if name not in held_out] * OHIO_TRAIN
        select += [pair for name, pair in areas.items() if name in ohio.SELECT_AREAS] * OHIO_SELECT
    return train, select


def split_facts() -> dict[str, Any]:
    """Say which ground chooses and which is reported; all other is trained on."""
    return {
        "dubai tiles": {"train": list(TRAIN_TILES), "select": SELECT_TILE, "report": REPORT_TILE},
        "ohio areas": {"select": list(ohio.SELECT_AREAS), "report": list(ohio.REPORT_AREAS)},
    }


def held_out(data: Path, folder: Path) -> list[tuple[str, Path, Path]]:
    """List what is evaluated: a name that says its part, the scene and its truth."""
    roles = (("selection", SELECT_TILE), ("report", REPORT_TILE))
    found = [(f"dubai{tile}-{role}", *dubai.write_tile(data / "dubai", folder, tile)) for role, tile in roles]
    if has_ohio(data):
        pairs = ohio.write_areas(data / "ohio", folder)
        names = {"selection": ohio.SELECT_AREAS, "report": ohio.REPORT_AREAS}
        found += [(f"ohio{name}-{role}", *pairs[name]) for role, areas in names.items() for name in areas]
    return found


def write_drawn(folder: Path, seed: int) -> Pair:
    """Draw a synthetic scene, an arid one for odd seeds, unless it is there."""
    from aerial.scene import make_scene  # its libraries are for those who draw

    scene_path, labels_path = folder / f"drawn{seed}.tif", folder / f"drawn{seed}-labels.tif"
    if not labels_path.exists():
        made = make_scene(seed, shape=DRAWN_SHAPE, style="arid" if seed % 2 else "temperate")
        indices = np.where(made.valid & (made.labels > 0), made.labels - np.uint8(1), np.uint8(IGNORE))
        north = 10_000_000 + 10_000 * seed
        dubai.write_pair(made.image.astype(np.uint8), indices, scene_path, labels_path, north=north)
    return scene_path, labels_path
