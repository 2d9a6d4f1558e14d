"""Training data that needs no file: chips drawn from their number."""

from dataclasses import dataclass

import torch

from geodeeplab.models import ModelBand, ModelClass, SegmentationNetwork, build_model
from geodeeplab.training import IGNORE_INDEX, Augmentation, Chip
from geodeeplab.training.data import TrainingData

COLORS = ((220, 200, 90), (30, 110, 50), (200, 60, 50))


@dataclass(frozen=True, kw_only=True)
class DrawnChips:
    """Squares of 8 px whose class is the brightest band, with noise; a part of each chip has no label."""

    count: int
    seed: int
    size: int = 32
    bands: int = 3
    unlabelled: bool = False
    """Whether nothing is labelled at all."""
    varies: bool = True
    """Whether every epoch has others, as in training."""

    def __len__(self) -> int:
        return self.count

    def draw(self, index: int, *, epoch: int = 0) -> Chip:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = torch.Generator().manual_seed(1_000_003 * self.seed + 1009 * epoch * self.varies + index)
        side = self.size // 8
        labels = torch.randint(0, 3, (side, side), generator=rng).repeat_interleave(8, 0).repeat_interleave(8, 1)
        pixels = torch.randint(60, 120, (self.bands, self.size, self.size), generator=rng).float()
        for index_of_class in range(3):
            pixels[index_of_class % self.bands] += 90 * (labels == index_of_class)
        valid = torch.ones(self.size, self.size, dtype=torch.bool)
        valid[:2] = False
        pixels[:, :2] = torch.nan
        labels = labels.to(torch.uint8)
        labels[:4] = IGNORE_INDEX
        if self.unlabelled:
            labels = torch.full_like(labels, IGNORE_INDEX)
        return Chip(pixels=pixels, valid=valid, labels=labels)


def draw_data(*, size: int = 32, bands: int = 3, train: int = 8, val: int = 4, batch_size: int = 4) -> TrainingData:
    """Make training data of drawn chips."""
    names = ("red", "green", "blue", "nir")[:bands]
    return TrainingData(
        classes=tuple(
            ModelClass(id=i, name=name, color=color)
            for i, (name, color) in enumerate(zip(("field", "wood", "roof"), COLORS, strict=True), start=1)
        ),
        bands=tuple(ModelBand(name=name, mean=120.0, std=45.0) for name in names),
        dtype="uint8",
        value_range=(0.0, 255.0),
        gsd_m=1.0,
        chip_size=size,
        batch_size=batch_size,
        seed=5,
        augmentation=Augmentation(),
        class_pixels=(3000, 2000, 1000),
        train=DrawnChips(count=train, seed=1, size=size, bands=bands),
        val=DrawnChips(count=val, seed=2, size=size, bands=bands, varies=False),
        rgb_channels=(0, 1, min(2, bands - 1)),
        display_range=((40.0, 220.0),) * bands,
        provenance={"sources": ["drawn"]},
    )


def make_network(
    arch: str = "deeplabv3", *, pointrend: bool = True, scales: tuple[float, ...] = (1.0,), bands: int = 3
) -> SegmentationNetwork:
    """Build a network that trains in no time."""
    return build_model(
        arch=arch,
        backbone="mobilenet_v3_small",
        num_classes=3,
        in_channels=bands,
        pointrend=pointrend,
        point_channels=8,
        scales=scales,
        aspp_channels=8 if arch == "deeplabv3" else None,
    )
