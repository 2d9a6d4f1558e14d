"""Training recipes of others, on the same scenes: what `compare_recipes.py` sets ours against.

- `torchvision`: DeepLabV3 with its auxiliary head and the reference recipe of references/segmentation (SGD, 0.01,
  momentum 0.9, weight decay 1e-4, 1e-4 · ten times the rate for the auxiliary head, poly 0.9 by steps; resize 0.5 to 2,
  flip, crop; cross-entropy + 0.5 of the auxiliary one).
- `smp`: DeepLabV3+ of segmentation_models_pytorch with what its users do: Adam at 1e-3 along a cosine, Dice +
  cross-entropy, flips, quarter turns, a random scale, light and contrast, noise.

Both draw their crops evenly over the tiles, by area. `pip install segmentation-models-pytorch` is needed for the
second.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
import torch.nn.functional as F
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabV3
from torchvision.models.segmentation.fcn import FCNHead

from geodeeplab.inference.device import Device
from geodeeplab.models import build_model, load_pretrained
from geodeeplab.models.backbones import Backbone

IGNORE = 255
Crop = tuple[Tensor, Tensor]
"""An image (3, S, S) float32 in 0–255 and class indices (S, S) int64."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A network with its recipe."""

    network: nn.Module
    """Gives logits, or torchvision's dictionary of them."""
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor]
    """Takes the network, normalised images and labels."""
    optimizer: torch.optim.Optimizer
    """Over the network's parameters."""
    factor: Callable[[float], float]
    """Factor on the rates after a share of the run."""
    change: Callable[[Tensor, Tensor, np.random.Generator], Crop]
    """Changes a crop's radiometry and symmetry."""
    scale: tuple[float, float]
    """Of the crops."""


def torchvision_rival(classes: int, backbone: str, width: int | None, *, weights: str | None = None) -> Rival:
    """Give torchvision's DeepLabV3 with its reference recipe."""
    network = torchvision_network(classes, backbone, width or 256, weights=weights)
    auxiliary = [one for name, one in network.named_parameters() if name.startswith("aux_classifier.")]
    main = [one for name, one in network.named_parameters() if not name.startswith("aux_classifier.")]
    groups = [{"params": main, "lr": 0.01}, {"params": auxiliary, "lr": 0.1}]

    def loss(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        logits = module(images)
        each = [F.cross_entropy(logits[name].float(), labels, ignore_index=IGNORE) for name in ("out", "aux")]
        return each[0] + 0.5 * each[1]

    return Rival(
        network=network,
        loss=loss,
        optimizer=torch.optim.SGD(groups, lr=0.01, momentum=0.9, weight_decay=1e-4),
        factor=lambda spent: (1 - spent) ** 0.9,
        change=_flip,
        scale=(0.5, 2.0),
    )


def torchvision_network(classes: int, backbone: str, width: int, *, weights: str | None = None) -> DeepLabV3:
    """Build torchvision's DeepLabV3 with its auxiliary head; without weights, it is drawn anew.

    torchvision has none but on ResNet-50, ResNet-101 and MobileNetV3: on others it is made of its own parts, at output
    stride 16 with rates 6, 12 and 18, and of our backbone.
    """
    if backbone in ("resnet50", "resnet101", "mobilenet_v3_large"):
        build = getattr(torchvision.models.segmentation, f"deeplabv3_{backbone}")
        network: DeepLabV3 = build(weights=None, weights_backbone=None, num_classes=classes, aux_loss=True)
        return network
    body = Levels(start_backbone(backbone, weights))
    *_, before, last = body.backbone.channels
    head = nn.Sequential(
        ASPP(last, [6, 12, 18], width),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )
    return DeepLabV3(body, head, FCNHead(before, classes))


class Levels(nn.Module):
    """The two deepest levels of a backbone of ours, as torchvision names them."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Give `aux` and `out`."""
        *_, before, last = self.backbone(images)
        return {"aux": before, "out": last}


def start_backbone(name: str, weights: str | None) -> Backbone:
    """Build a backbone of ours at output stride 16, with the weights that the learner begins with."""
    network = build_model(arch="deeplabv3", backbone=name, num_classes=2)
    if weights is not None:
        load_pretrained(network, weights)
    return network.backbone


SMP_ENCODERS = {"mobilenet_v3_large": "tu-mobilenetv3_large_100", "efficientnet_lite0": "tu-tf_efficientnet_lite0"}


def smp_rival(classes: int, backbone: str, width: int | None, *, weights: str | None = None) -> Rival:
    """Give segmentation_models_pytorch's DeepLabV3+ with a usual recipe."""
    import segmentation_models_pytorch as smp

    encoder = SMP_ENCODERS.get(backbone, backbone)
    network = smp.DeepLabV3Plus(encoder, encoder_weights=None, decoder_channels=width or 256, classes=classes)
    if weights is not None:  # those of ours, whose keys are timm's
        begun = {key: one for key, one in start_backbone(backbone, weights).state_dict().items()}
        found = network.encoder.model.load_state_dict(begun, strict=False)
        lacking = [key for key in found.missing_keys if not key.endswith("num_batches_tracked")]
        assert not lacking, f"weights lack {lacking[:3]}"
        assert not found.unexpected_keys, f"the encoder has no {found.unexpected_keys[:3]}"
    dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)

    def loss(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        logits = module(images).float()
        total: Tensor = dice(logits, labels) + F.cross_entropy(logits, labels, ignore_index=IGNORE)
        return total

    return Rival(
        network=network,
        loss=loss,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-3),
        factor=lambda spent: 0.01 + 0.99 * (1 + math.cos(math.pi * spent)) / 2,
        change=_usual_change,
        scale=(0.5, 1.5),
    )


RIVALS: dict[str, Callable[..., Rival]] = {"torchvision": torchvision_rival, "smp": smp_rival}


def train_rival(
    rival: Rival,
    normalise: nn.Module,
    tiles: list[tuple[Path, Path]],
    *,
    steps: int,
    batch: int,
    crop: int,
    seed: int,
    device: Device,
) -> Iterator[tuple[int, float]]:
    """Train in place on a device at its precision, and yield the number of steps done and the loss after each."""
    rates = [group["lr"] for group in rival.optimizer.param_groups]
    batches = RivalBatches(tiles, rival, steps=steps, size=batch, crop=crop, seed=seed)
    loader = DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4)
    place, dtype = device.torch_device, device.autocast_dtype
    rival.network.to(place).to(memory_format=torch.channels_last)
    normalise.to(place)
    for step, (images, labels) in enumerate(loader):
        for group, rate in zip(rival.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * rival.factor(step / steps)
        rival.network.train()
        valid = torch.ones(labels.shape, dtype=torch.bool, device=place)
        x = normalise(images.to(place), valid).contiguous(memory_format=torch.channels_last)
        with torch.autocast(place.type, dtype or torch.bfloat16, enabled=dtype is not None):
            loss = rival.loss(rival.network, x, labels.to(place))
        rival.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        rival.optimizer.step()
        yield step + 1, loss.item()


class RivalBatches(Dataset[Crop]):
    """Batches of evenly drawn crops, by seed and step."""

    def __init__(
        self, tiles: list[tuple[Path, Path]], rival: Rival, *, steps: int, size: int, crop: int, seed: int
    ) -> None:
        """Read the tiles; `tiles` are scenes with their label rasters, ids from 1, as often as they count."""
        read = {pair: (_read(pair[0]), _read(pair[1])[0]) for pair in dict.fromkeys(tiles)}
        self.scenes = [read[pair] for pair in tiles]
        self.change, self.scale = rival.change, rival.scale
        self.steps, self.size, self.crop, self.seed = steps, size, crop, seed

    def __len__(self) -> int:
        """Give the number of batches."""
        return self.steps

    def __getitem__(self, step: int) -> Crop:
        """Draw one batch."""
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, step])
        areas = np.array([labels.size for _, labels in self.scenes], dtype=float)
        crops = [self._draw(rng, areas / areas.sum()) for _ in range(self.size)]
        return torch.stack([image for image, _ in crops]), torch.stack([labels for _, labels in crops])

    def _draw(self, rng: np.random.Generator, shares: NDArray[np.float64]) -> Crop:
        """Draw a crop at a random scale, within its tile."""
        image, labels = self.scenes[rng.choice(len(self.scenes), p=shares)]
        side = round(self.crop / rng.uniform(*self.scale))
        side = min(side, *labels.shape)
        row, col = (int(rng.integers(0, whole - side + 1)) for whole in labels.shape)
        part = torch.from_numpy(image[:, row : row + side, col : col + side]).float()
        ids = torch.from_numpy(labels[row : row + side, col : col + side]).float()
        shape = (self.crop, self.crop)
        x = F.interpolate(part[None], shape, mode="bilinear", align_corners=False, antialias=side > self.crop)[0]
        picked = F.interpolate(ids[None, None], shape, mode="nearest")[0, 0].long()
        return self.change(x, torch.where(picked == 0, IGNORE, picked - 1), rng)


def _flip(image: Tensor, labels: Tensor, rng: np.random.Generator) -> Crop:
    return (image.flip(-1), labels.flip(-1)) if rng.random() < 0.5 else (image, labels)


def _usual_change(image: Tensor, labels: Tensor, rng: np.random.Generator) -> Crop:
    """Flip, turn by quarters, and change light, contrast and noise."""
    image, labels = _flip(image, labels, rng)
    turns = int(rng.integers(4))
    image, labels = torch.rot90(image, turns, (-2, -1)), torch.rot90(labels, turns, (-2, -1))
    if rng.random() < 0.5:
        middle = image.mean()
        image = (image - middle) * float(rng.uniform(0.8, 1.2)) + middle + float(rng.uniform(-0.2, 0.2)) * 255
    if rng.random() < 0.2:
        image = image + torch.from_numpy(rng.normal(0, 8, image.shape)).float()
    return image.clamp(0, 255), labels


def _read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as src:
        pixels: NDArray[np.uint8] = src.read()
    return pixels
