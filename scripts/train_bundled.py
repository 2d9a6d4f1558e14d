"""Train the bundled model `landcover-aerial` and write its model file.

    python scripts/train_bundled.py --data ../shared/data/dubai --steps 6000

Trains on Dubai tiles 4, 5, 7, 8 and synthetic scenes, keeps the weights that are best on tile 2, reports tile 6 once.
The Dubai tiles are not part of the project ("Semantic segmentation of aerial imagery", Humans in the Loop, CC0 1.0).
"""

import argparse
import copy
import json
import math
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from aerial_data import CLASSES, IGNORE, Batches, TrainingScene, join_parts, make_training_scene, read_dubai_parts
from geodeeplab.models.aspp import resize
from geodeeplab.models.build import build_model
from geodeeplab.models.deeplabv3 import SegmentationNetwork
from geodeeplab.models.pointrend import point_logits_and_labels

TRAIN_TILES, SELECT_TILE, REPORT_TILE = (4, 5, 7, 8), 2, 6
ARCHITECTURE: dict[str, Any] = {
    "arch": "deeplabv3",
    "backbone": "resnet18",
    "num_classes": len(CLASSES),
    "in_channels": 3,
    "output_stride": 16,
    "pointrend": True,
    "aspp_channels": 64,
}


def segmentation_loss(network: SegmentationNetwork, images: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """Give cross-entropy + ½ Dice on the coarse logits at a quarter of the resolution, + cross-entropy on points.

    The points, at full resolution, carry the detail; the full-resolution coarse loss costs a fifth of a step on a CPU.
    """
    with torch.autocast(images.device.type, torch.bfloat16):
        coarse, fine = network.coarse_and_fine(images)
    assert network.point_head is not None, "the bundled model has PointRend"
    coarse, fine = coarse.float(), fine.float()
    quarter = labels[:, 2::4, 2::4]
    logits = resize(coarse, quarter.shape[-2:])  # (N, K, H/4, W/4)
    points, point_labels = point_logits_and_labels(network.point_head, coarse, [fine], labels)
    return (
        cross_entropy(logits, quarter, class_weights)
        + 0.5 * dice_loss(logits, quarter)
        + cross_entropy(points, point_labels, class_weights)
    )


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


@torch.no_grad()
def confusion(network: nn.Module, parts: list[tuple[np.ndarray, np.ndarray]], normalise: nn.Module) -> np.ndarray:
    """Count (K, K) pixels, truth by row, over whole parts."""
    k = len(CLASSES)
    counts = np.zeros((k, k), dtype=np.int64)
    network.eval()
    for image, labels in parts:
        x = normalise(torch.from_numpy(image)[None].float())
        with torch.autocast(x.device.type, torch.bfloat16):
            found = network(x).argmax(1)[0].numpy()
        seen = labels != IGNORE
        counts += np.bincount(k * labels[seen].astype(np.int64) + found[seen], minlength=k * k).reshape(k, k)
    return counts


def iou(counts: np.ndarray) -> np.ndarray:
    """Give each class's intersection over union."""
    hit = np.diag(counts)
    scores: np.ndarray = hit / (counts.sum(0) + counts.sum(1) - hit)
    return scores


class Normalise(nn.Module):
    """(x − mean) / std per band."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        """Take per-band numbers in 0–255."""
        super().__init__()
        self.mean, self.std = (torch.tensor(v).view(1, -1, 1, 1) for v in (mean, std))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise images (N, C, H, W)."""
        return (x - self.mean) / self.std


def synthetic_scenes(count: int) -> list[TrainingScene]:
    """Make `count` synthetic scenes, half of them arid, none with the seed of the sample scene."""
    if not count:
        return []
    sys.path.insert(0, str(Path(__file__).parents[1] / "sample_data"))
    from make_scene import make_scene

    scenes = []
    for index in range(count):
        made = make_scene(1000 + index, shape=(768, 768), style="temperate" if index % 2 == 0 else "arid")
        labels = np.where(made.valid & (made.labels > 0), made.labels - 1, IGNORE).astype(np.uint8)
        scenes.append(make_training_scene(made.image, labels))
    return scenes


def train(args: argparse.Namespace) -> None:
    """Train, print a line every `--every` steps, keep the best weights on the selection tile."""
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    dubai = [make_training_scene(*join_parts(read_dubai_parts(args.data, tile))) for tile in TRAIN_TILES]
    select = read_dubai_parts(args.data, SELECT_TILE)
    areas = np.array([scene.labels.numel() for scene in dubai]) ** 0.5
    synthetic = synthetic_scenes(args.synthetic)
    weights = areas / areas.sum()
    if synthetic:
        share = args.synthetic_share
        weights = np.concatenate([weights * (1 - share), np.full(len(synthetic), share / len(synthetic))])
    scenes = [*dubai, *synthetic]

    counts = torch.stack([torch.bincount(scene.labels.flatten(), minlength=256) for scene in dubai]).sum(0)
    counts = counts[: len(CLASSES)]
    frequency = counts / counts.sum()
    class_weights = (frequency.mean() / frequency).sqrt().clamp(0.5, 2.0)
    mean = [float(np.mean([s.image[b].float().mean() for s in dubai])) for b in range(3)]
    std = [float(np.mean([s.image[b].float().std() for s in dubai])) for b in range(3)]
    normalise = Normalise(mean, std)
    print(f"{len(scenes)} scenes, class weights {class_weights.tolist()}, mean {mean}, std {std}", flush=True)

    network = build_model(**ARCHITECTURE).to(memory_format=torch.channels_last)
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True)["weights"])
    ema = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=0.05)
    best, started = 0.0, time.monotonic()
    batches = Batches(
        scenes,
        weights,
        steps=args.steps,
        size=args.batch,
        crop=args.crop,
        strength=args.jitter,
        seed=args.seed * 1_000_000,
    )
    losses: deque[float] = deque(maxlen=args.every)
    loader = DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4)
    for step, (images, labels) in enumerate(loader):
        spent = (time.monotonic() - started) / (60 * args.minutes) if args.minutes else step / args.steps
        if spent >= 1:
            break
        optimizer.param_groups[0]["lr"] = args.lr * one_cycle(spent)
        network.train()
        images = images.float().contiguous(memory_format=torch.channels_last)
        loss = segmentation_loss(network, normalise(images), labels.long(), class_weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        update_ema(ema, network, min(args.ema, (1 + step) / (10 + step)))
        losses.append(loss.item())
        if (step + 1) % args.every == 0:
            scores = iou(confusion(ema, select, normalise))
            print(
                f"step {step + 1} loss {np.mean(losses):.3f} tile {SELECT_TILE} mIoU {scores.mean():.4f} "
                f"{np.round(scores, 3).tolist()} {time.monotonic() - started:.0f} s",
                flush=True,
            )
            state = {"weights": ema.state_dict(), "mean": mean, "std": std, "step": step + 1, "args": str(args)}
            torch.save(state, args.out / "last.pt")
            if scores.mean() > best:
                best = scores.mean()
                torch.save(state, args.out / "best.pt")
    (args.out / "done.json").write_text(json.dumps({"best": best, "seconds": time.monotonic() - started}))


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


def main() -> None:
    """Parse the options and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("out/train"))
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, help="end after this time, whatever the steps; the rate follows it")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=384)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--jitter", type=float, default=0.6)
    parser.add_argument("--synthetic", type=int, default=32)
    parser.add_argument("--synthetic-share", type=float, default=0.2)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
