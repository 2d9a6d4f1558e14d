"""Training scenes: the Dubai set and our synthetic scenes, cropped and augmented.

A scene here is an image (3, H, W) uint8 with class indices (H, W) uint8, 255 where the label is to be ignored.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

IGNORE = 255
CLASSES = {
    "building": (60, 16, 152),
    "land": (132, 41, 246),
    "road": (110, 193, 228),
    "vegetation": (254, 221, 58),
    "water": (226, 169, 41),
}
"""Class names in the order of their ids from 1, with their colours in the Dubai label files."""
TRAIN_TILES, SELECT_TILE, REPORT_TILE = (4, 5, 7, 8), 2, 6
"""Of the Dubai set. Tiles 4, 7 and 8 show the same ground, so a random split would leak."""


@dataclass(frozen=True, kw_only=True)
class TrainingScene:
    """An image with its class indices, and where each class lies."""

    image: Tensor
    """(3, H, W) uint8."""
    labels: Tensor
    """(H, W) uint8, class indices from 0, or IGNORE."""
    places: tuple[Tensor, ...]
    """For each class up to 20,000 of its pixels, as (n, 2) of (row, col)."""


def make_training_scene(image: np.ndarray, labels: np.ndarray) -> TrainingScene:
    """Index an image (3, H, W) and class indices (H, W) for balanced sampling."""
    rng = np.random.default_rng(0)
    places = []
    for index in range(len(CLASSES)):
        found = np.flatnonzero(labels.ravel() == index)
        picked = rng.choice(found, min(20_000, found.size), replace=False) if found.size else found
        places.append(torch.from_numpy(np.stack(np.unravel_index(picked, labels.shape), axis=-1)))
    return TrainingScene(image=torch.from_numpy(image), labels=torch.from_numpy(labels), places=tuple(places))


def read_dubai_parts(folder: Path, tile: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the nine parts of a tile, row-major, each as an image (3, h, w) and class indices (h, w)."""
    parts = []
    for path in sorted((folder / f"Tile {tile}" / "images").glob("*.jpg")):
        image = np.asarray(Image.open(path).convert("RGB"))
        colours = np.asarray(Image.open(folder / f"Tile {tile}" / "masks" / f"{path.stem}.png").convert("RGB"))
        labels = np.full(colours.shape[:2], IGNORE, dtype=np.uint8)
        for index, colour in enumerate(CLASSES.values()):
            labels[(colours == colour).all(axis=-1)] = index
        parts.append((np.ascontiguousarray(image.transpose(2, 0, 1)), labels))
    if len(parts) != 9:
        raise FileNotFoundError(f"tile {tile} has nine parts, found {len(parts)} in {folder}")
    return parts


def join_parts(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Join the nine contiguous parts of a tile, cropped to common heights and widths (they differ by a pixel)."""
    rows = []
    for row in (parts[0:3], parts[3:6], parts[6:9]):
        height = min(labels.shape[0] for _, labels in row)
        rows.append([np.concatenate([part[i][..., :height, :] for part in row], axis=-1) for i in (0, 1)])
    width = min(labels.shape[-1] for _, labels in rows)
    image, labels = (np.concatenate([row[i][..., :width] for row in rows], axis=-2) for i in (0, 1))
    return image, labels


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """What is trained on, and its statistics."""

    scenes: list[TrainingScene]
    """Dubai tiles, then synthetic scenes."""
    shares: np.ndarray
    """Each scene's share of the crops; sums to 1."""
    class_weights: Tensor
    """Inverse square roots of the Dubai tiles' class frequencies, within 0.5 and 2."""
    mean: list[float]
    """Per band, over the Dubai tiles."""
    std: list[float]
    """Likewise."""


def make_training_set(
    data: Path, *, drawn: Sequence[tuple[np.ndarray, np.ndarray]] = (), drawn_share: float = 0.0
) -> TrainingSet:
    """Read the training tiles, and join synthetic scenes; crops go by the square root of a tile's area."""
    dubai = [make_training_scene(*join_parts(read_dubai_parts(data, tile))) for tile in TRAIN_TILES]
    synthetic = [make_training_scene(*scene) for scene in drawn]
    roots = np.array([scene.labels.numel() for scene in dubai]) ** 0.5
    share = drawn_share if synthetic else 0.0
    shares = np.concatenate([(1 - share) * roots / roots.sum(), np.full(len(synthetic), share / max(len(drawn), 1))])
    counts = torch.stack([torch.bincount(scene.labels.flatten(), minlength=256) for scene in dubai]).sum(0)
    frequency = counts[: len(CLASSES)] / counts[: len(CLASSES)].sum()
    return TrainingSet(
        scenes=[*dubai, *synthetic],
        shares=shares,
        class_weights=(frequency.mean() / frequency).sqrt().clamp(0.5, 2.0),
        mean=[float(np.mean([scene.image[band].float().mean() for scene in dubai])) for band in range(3)],
        std=[float(np.mean([scene.image[band].float().std() for scene in dubai])) for band in range(3)],
    )


def sample_crop(scene: TrainingScene, crop: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Cut one crop (3, crop, crop) uint8 with its class indices, at a random place, scale, angle and flip."""
    height, width = scene.labels.shape
    present = [places for places in scene.places if len(places)]
    if present and rng.random() < 0.5:
        places = present[rng.integers(len(present))]
        row, col = (places[rng.integers(len(places))].numpy() + rng.uniform(-0.3, 0.3, 2) * crop).tolist()
    else:
        row, col = rng.uniform(0, height), rng.uniform(0, width)
    zoom = math.exp(rng.uniform(math.log(0.6), math.log(1.8)))
    angle = rng.integers(4) * math.pi / 2 + (rng.uniform(-math.pi / 4, math.pi / 4) if rng.random() < 0.5 else 0.0)
    reach = crop / 2 / zoom
    row, col = (float(np.clip(v, min(reach, n / 2), max(n - reach, n / 2))) for v, n in ((row, height), (col, width)))

    side = math.ceil(reach * (abs(math.cos(angle)) + abs(math.sin(angle)))) + 2
    r0, c0 = max(0, int(row) - side), max(0, int(col) - side)
    r1, c1 = min(height, int(row) + side), min(width, int(col) + side)
    window = scene.image[:, r0:r1, c0:c1].float()
    labels = scene.labels[r0:r1, c0:c1].float() + 1  # 0 is what grid_sample pads with

    flip = -1.0 if rng.random() < 0.5 else 1.0
    h, w = window.shape[-2:]
    a, b = math.cos(angle) * crop / zoom, math.sin(angle) * crop / zoom
    theta = torch.tensor(
        [[a * flip / w, -b / w, 2 * (col - c0) / w - 1], [b * flip / h, a / h, 2 * (row - r0) / h - 1]]
    )
    grid = F.affine_grid(theta[None].float(), [1, 1, crop, crop], align_corners=False)
    image = F.grid_sample(window[None], grid, mode="bilinear", padding_mode="reflection", align_corners=False)[0]
    picked = F.grid_sample(labels[None, None], grid, mode="nearest", padding_mode="zeros", align_corners=False)[0, 0]
    picked = torch.where((picked == 0) | (picked > len(CLASSES)), float(IGNORE), picked - 1)
    return image, picked.long()


def jitter_colour(image: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Change the light and the camera of an image (3, h, w) in 0–255: exposure, contrast, colour, haze, blur, noise."""

    def u(spread: float) -> float:
        return float(rng.uniform(-spread, spread)) * strength

    x = image / 255
    grey = x.mean(0, keepdim=True)
    x = grey + (x - grey) * (1 + u(0.3))
    x = x * (1 + torch.from_numpy(rng.uniform(-0.06, 0.06, (3, 1, 1)) * strength).float())
    x = (x - x.mean()) * (1 + u(0.25)) + x.mean() * (1 + u(0.2))
    x = x.clamp(0, 1) ** math.exp(u(0.25))
    if rng.random() < 0.2:
        haze = float(rng.uniform(0, 0.2)) * strength
        x = x * (1 - haze) + 0.8 * haze
    if rng.random() < 0.3:
        x = x + torch.randn(x.shape) * float(rng.uniform(0, 0.03))
    if rng.random() < 0.15:
        x = F.avg_pool2d(x[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    return (x * 255).clamp(0, 255)


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of crops: images (N, 3, crop, crop) and class indices (N, crop, crop), uint8, drawn by seed + step."""

    def __init__(
        self,
        scenes: Sequence[TrainingScene],
        weights: np.ndarray,
        *,
        steps: int,
        size: int,
        crop: int,
        strength: float,
        seed: int,
    ) -> None:
        """Take the scenes with their shares of the crops, and the numbers of a batch."""
        self.scenes, self.weights, self.steps = scenes, weights, steps
        self.size, self.crop, self.strength, self.seed = size, crop, strength, seed

    def __len__(self) -> int:
        """Give the number of batches."""
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw one batch; the same for the same step, whoever draws it."""
        torch.set_num_threads(1)
        torch.manual_seed(self.seed + step)
        rng = np.random.default_rng(self.seed + step)
        images, labels = [], []
        for _ in range(self.size):
            image, picked = sample_crop(self.scenes[rng.choice(len(self.scenes), p=self.weights)], self.crop, rng)
            images.append(jitter_colour(image, rng, self.strength).byte())
            labels.append(picked.byte())
        return torch.stack(images), torch.stack(labels)
