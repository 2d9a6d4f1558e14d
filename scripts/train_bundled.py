"""Train the bundled model `landcover-aerial` and write its model file.

    python scripts/train_bundled.py --data ../shared/data/dubai --steps 6000

Trains on Dubai tiles 4, 5, 7, 8 and synthetic scenes, and keeps the weights that are best on tile 2 and on held-out
synthetic scenes; `export_bundled.py` then reports tile 6.
The Dubai tiles are not part of the project ("Semantic segmentation of aerial imagery", Humans in the Loop, CC0 1.0).
"""

import argparse
import copy
import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
TRAIN_SEEDS, HELD_OUT_SEEDS = range(1000, 1100), range(2000, 2004)
"""Of the synthetic scenes; the sample scene has another one."""
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


def draw_synthetic(seeds: Iterable[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw synthetic scenes, arid ones for odd seeds: each an image (3, h, w) and class indices (h, w)."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "sample_data"))
    from make_scene import make_scene

    scenes = []
    for seed in seeds:
        made = make_scene(seed, shape=(768, 768), style="arid" if seed % 2 else "temperate")
        labels = np.where(made.valid & (made.labels > 0), made.labels - 1, IGNORE).astype(np.uint8)
        scenes.append((made.image, labels))
    return scenes


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


def read_training_set(data: Path, *, synthetic: int, synthetic_share: float) -> TrainingSet:
    """Read the training tiles and draw the synthetic scenes; crops go by the square root of a tile's area."""
    dubai = [make_training_scene(*join_parts(read_dubai_parts(data, tile))) for tile in TRAIN_TILES]
    drawn = [make_training_scene(*scene) for scene in draw_synthetic(TRAIN_SEEDS[:synthetic])]
    roots = np.array([scene.labels.numel() for scene in dubai]) ** 0.5
    share = synthetic_share if drawn else 0.0
    shares = np.concatenate([(1 - share) * roots / roots.sum(), np.full(len(drawn), share / max(len(drawn), 1))])
    counts = torch.stack([torch.bincount(scene.labels.flatten(), minlength=256) for scene in dubai]).sum(0)
    frequency = counts[: len(CLASSES)] / counts[: len(CLASSES)].sum()
    return TrainingSet(
        scenes=[*dubai, *drawn],
        shares=shares,
        class_weights=(frequency.mean() / frequency).sqrt().clamp(0.5, 2.0),
        mean=[float(np.mean([scene.image[band].float().mean() for scene in dubai])) for band in range(3)],
        std=[float(np.mean([scene.image[band].float().std() for scene in dubai])) for band in range(3)],
    )


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Average the weights of checkpoints of one run; whole numbers are the first one's."""
    states = [torch.load(path, weights_only=True)["weights"] for path in paths]
    return {
        key: torch.stack([state[key] for state in states]).mean(0) if value.is_floating_point() else value
        for key, value in states[0].items()
    }


def train(args: argparse.Namespace) -> None:
    """Train, print a line every `--every` steps, keep the best weights.

    Best is the mean of the mIoU on the selection tile and on held-out synthetic scenes.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    data = read_training_set(args.data, synthetic=args.synthetic, synthetic_share=args.synthetic_share)
    held_out = {f"tile {SELECT_TILE}": read_dubai_parts(args.data, SELECT_TILE)}
    held_out |= {"synthetic": draw_synthetic(HELD_OUT_SEEDS)} if args.synthetic else {}
    normalise = Normalise(data.mean, data.std)
    network = build_model(**ARCHITECTURE).to(memory_format=torch.channels_last)
    if args.start:
        network.load_state_dict(average_weights(args.start))
    ema = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=0.05)
    sizes = {"steps": args.steps, "size": args.batch, "crop": args.crop}
    batches = Batches(data.scenes, data.shares, **sizes, strength=args.jitter, seed=args.seed * 1_000_000)
    losses: deque[float] = deque(maxlen=args.every)
    options = {name: value for name, value in vars(args).items() if name not in ("data", "out", "start")}
    best, started = 0.0, time.monotonic()
    for step, (images, labels) in enumerate(DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4)):
        spent = (time.monotonic() - started) / (60 * args.minutes) if args.minutes else step / args.steps
        if spent >= 1:
            break
        optimizer.param_groups[0]["lr"] = args.lr * one_cycle(spent)
        network.train()
        images = normalise(images.float().contiguous(memory_format=torch.channels_last))
        loss = segmentation_loss(network, images, labels.long(), data.class_weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        update_ema(ema, network, min(args.ema, (1 + step) / (10 + step)))
        losses.append(loss.item())
        if (step + 1) % args.every == 0:
            scores = {name: iou(confusion(ema, parts, normalise)) for name, parts in held_out.items()}
            score = float(np.mean([np.nanmean(values) for values in scores.values()]))
            text = ", ".join(f"{name} {np.nanmean(v):.4f} {np.round(v, 3).tolist()}" for name, v in scores.items())
            print(
                f"step {step + 1} loss {np.mean(losses):.3f} mIoU {text} {time.monotonic() - started:.0f} s", flush=True
            )
            state = {
                "weights": ema.state_dict(),
                "mean": data.mean,
                "std": data.std,
                "step": step + 1,
                "options": options,
            }
            torch.save(state, args.out / "last.pt")
            if score > best:
                best = score
                torch.save(state, args.out / "best.pt")


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
    parser.add_argument("--start", type=Path, nargs="+", help="checkpoints to start from the average of")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
