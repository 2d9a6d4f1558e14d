"""Train the bundled model `landcover-aerial` and write its model file.

    python scripts/train_bundled.py --data ../shared/data/dubai --steps 6000

Trains on Dubai tiles 4, 5, 7, 8 and synthetic scenes, and keeps the weights that are best on tile 2 and on held-out
synthetic scenes; `export_bundled.py` then reports tile 6.
The Dubai tiles are not part of the project ("Semantic segmentation of aerial imagery", Humans in the Loop, CC0 1.0).
"""

import argparse
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aerial_data import CLASSES, IGNORE, SELECT_TILE, make_training_set, read_dubai_parts
from geodeeplab.evaluation import confusion_matrix, iou, mean_iou
from geodeeplab.models.build import build_model
from training_loop import Normalise, predict_logits, train_network

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
    drawn = draw_synthetic(TRAIN_SEEDS[: args.synthetic])
    data = make_training_set(args.data, drawn=drawn, drawn_share=args.synthetic_share)
    held_out = {f"tile {SELECT_TILE}": read_dubai_parts(args.data, SELECT_TILE)}
    held_out |= {"synthetic": draw_synthetic(HELD_OUT_SEEDS)} if args.synthetic else {}
    normalise = Normalise(data.mean, data.std)
    network = build_model(**ARCHITECTURE).to(memory_format=torch.channels_last)
    if args.start:
        network.load_state_dict(average_weights(args.start))
    options = {name: value for name, value in vars(args).items() if name not in ("data", "out", "start")}
    numbers = {name: options[name] for name in ("steps", "minutes", "batch", "crop", "lr", "jitter", "seed")}
    losses: deque[float] = deque(maxlen=args.every)
    best = 0.0
    for step in train_network(network, data, ema_decay=args.ema, **numbers):
        losses.append(step.loss)
        if step.number % args.every:
            continue
        counts = {name: count_pixels(step.ema, parts, normalise) for name, parts in held_out.items()}
        score = float(np.mean([mean_iou(each) for each in counts.values()]))
        text = ", ".join(f"{name} {mean_iou(c):.4f} {np.round(iou(c), 3).tolist()}" for name, c in counts.items())
        print(f"step {step.number} loss {np.mean(losses):.3f} mIoU {text} {step.seconds:.0f} s", flush=True)
        state = {
            "weights": step.ema.state_dict(),
            "mean": data.mean,
            "std": data.std,
            "step": step.number,
            "options": options,
        }
        torch.save(state, args.out / "last.pt")
        if score > best:
            best = score
            torch.save(state, args.out / "best.pt")


def count_pixels(
    network: nn.Module, parts: Sequence[tuple[np.ndarray, np.ndarray]], normalise: nn.Module
) -> np.ndarray:
    """Count (K, K) pixels, truth by row, over whole parts."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    for image, truth in parts:
        labels = predict_logits(network, image, normalise, "cpu").argmax(0).numpy()
        counts += confusion_matrix(labels, truth, class_ids=range(len(CLASSES)), ignore=IGNORE)
    return counts


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
