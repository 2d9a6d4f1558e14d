"""The training loop that scripts share: the loss, the steps, the averaged weights, labels of whole images.

bf16 autocast, channels last, AdamW, a one-cycle rate, clipped gradients, an exponential average of the weights. The
crops of a step follow from the seed, whatever the network.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from aerial_data import CLASSES, IGNORE, Batches, TrainingSet
from geodeeplab.models.aspp import resize
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.models.pointrend import point_logits_and_labels


def segmentation_loss(
    network: SegmentationNetwork, images: Tensor, labels: Tensor, class_weights: Tensor, *, label_stride: int
) -> Tensor:
    """Give cross-entropy + ½ Dice on the coarse logits, + cross-entropy on points if the network has PointRend.

    The coarse loss sees every `label_stride`-th label. With points, which carry the detail at full resolution, 4 is
    enough; 1 costs a fifth of a step on a CPU.
    """
    with torch.autocast(images.device.type, torch.bfloat16):
        coarse, fine = network.coarse_and_fine(images)
    coarse = coarse.float()
    seen = labels[:, label_stride // 2 :: label_stride, label_stride // 2 :: label_stride]
    logits = resize(coarse, seen.shape[-2:])  # (N, K, H/stride, W/stride)
    loss = cross_entropy(logits, seen, class_weights) + 0.5 * dice_loss(logits, seen)
    if network.point_head is None:
        return loss
    points, point_labels = point_logits_and_labels(network.point_head, coarse, fine, labels)
    return loss + cross_entropy(points, point_labels, class_weights)


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """Weighted cross-entropy with smoothing .05; 0 where every label is ignored."""
    total = F.cross_entropy(logits, labels, class_weights, ignore_index=IGNORE, label_smoothing=0.05, reduction="sum")
    seen = labels[labels != IGNORE]
    return total / class_weights[seen].sum().clamp(min=1)


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 − Dice over the batch, averaged over the classes that occur."""
    known = (labels != IGNORE).unsqueeze(1)
    probs = logits.softmax(1) * known
    truth = F.one_hot(labels.clamp(max=len(CLASSES) - 1), len(CLASSES)).permute(0, 3, 1, 2) * known
    both, either = (probs * truth).sum((0, 2, 3)), (probs + truth).sum((0, 2, 3))
    occurs = truth.sum((0, 2, 3)) > 0
    return (1 - (2 * both + 1) / (either + 1))[occurs].mean() if occurs.any() else logits.sum() * 0


class Normalise(nn.Module):
    """(x − mean) / std per band."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        """Take per-band numbers in 0–255."""
        super().__init__()
        self.mean, self.std = (nn.Buffer(torch.tensor(v).view(1, -1, 1, 1)) for v in (mean, std))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise images (N, C, H, W)."""
        return (x - self.mean) / self.std


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a training run stands after a step."""

    number: int
    """Steps done."""
    loss: float
    """Of this step's batch."""
    ema: SegmentationNetwork
    """The network with averaged weights, in evaluation mode; the next step changes it."""
    seconds: float
    """Spent on training so far; not what the caller did between steps."""


def train_network(
    network: SegmentationNetwork,
    data: TrainingSet,
    *,
    steps: int,
    batch: int,
    crop: int,
    lr: float,
    ema_decay: float,
    jitter: float,
    seed: int,
    minutes: float | None = None,
    label_stride: int = 4,
    device: torch.device | str = "cpu",
    workers: int = 1,
) -> Iterator[Step]:
    """Train a network in place, and yield after every step.

    Args:
        network: on its device already.
        data: scenes to cut crops from.
        steps: length of the run.
        batch: crops of a step.
        crop: pixels of a crop along each axis.
        lr: peak of the learning rate.
        ema_decay: of the averaged weights.
        jitter: strength of the changes of colour.
        seed: decides the crops.
        minutes: end after this time, whatever the steps; the rate follows it.
        label_stride: of the coarse loss.
        device: where the network is.
        workers: processes that draw crops; they change no crop.
    """
    normalise = Normalise(data.mean, data.std).to(device)
    class_weights = data.class_weights.to(device)
    ema = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.05)
    sizes = {"steps": steps, "size": batch, "crop": crop}
    batches = Batches(data.scenes, data.shares, **sizes, strength=jitter, seed=seed * 1_000_000)
    seconds, started = 0.0, time.monotonic()
    loader = DataLoader(batches, batch_size=None, num_workers=workers, prefetch_factor=4)
    for step, (images, labels) in enumerate(loader):
        spent = seconds / (60 * minutes) if minutes else step / steps
        if spent >= 1:
            return
        optimizer.param_groups[0]["lr"] = lr * one_cycle(spent)
        network.train()
        x = normalise(images.to(device).float().contiguous(memory_format=torch.channels_last))
        loss = segmentation_loss(network, x, labels.to(device).long(), class_weights, label_stride=label_stride)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        update_ema(ema, network, min(ema_decay, (1 + step) / (10 + step)))
        value = loss.item()
        seconds += time.monotonic() - started
        yield Step(number=step + 1, loss=value, ema=ema, seconds=seconds)
        started = time.monotonic()


def one_cycle(spent: float) -> float:
    """Give the factor on the learning rate after a share of the run: up in a tenth, then down a cosine to 1 %."""
    return 0.04 + 0.96 * spent / 0.1 if spent < 0.1 else 0.01 + 0.99 * (1 + math.cos(math.pi * (spent - 0.1) / 0.9)) / 2


def update_ema(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the current ones."""
    with torch.no_grad():
        for kept, fresh in zip(ema.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(fresh, 1 - decay)
            else:
                kept.copy_(fresh)


@torch.no_grad()
def predict_logits(network: nn.Module, image: np.ndarray, normalise: nn.Module, device: torch.device | str) -> Tensor:
    """Give logits (K, H, W), float32 on the CPU, of a whole image (3, H, W)."""
    network.eval()
    x = normalise(torch.from_numpy(image)[None].to(device).float())
    with torch.autocast(x.device.type, torch.bfloat16):
        logits: Tensor = network(x.contiguous(memory_format=torch.channels_last))[0]
    return logits.float().cpu()
