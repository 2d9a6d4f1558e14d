"""Compare the DeepLab line: V1, V2, V3, V3+ on one backbone, with and without PointRend and the dense CRF.

    python scripts/compare_line.py --data ../shared/data/dubai
    python scripts/compare_line.py --data ../shared/data/dubai --backbone resnet50 --steps 4000 --seeds 3 --workers 12

Eight networks a seed, from random weights, each fitted by the learner for the same number of steps on the same chips of
Dubai tiles 4, 5, 7 and 8, at the papers' output strides (V1, V2: 8; V3, V3+: 16), the inner layers of their heads of
one width (`--width`). Tile 2 chooses the weights, of those after each quarter of the steps, and then one of three sets
of the CRF's parameters (`CRFS`), both by mIoU; tile 6 is scored once with what was chosen. The weights are chosen over
chips, which is part of the time of training; all else is scored over the parts of a tile, each seen as a whole.

Everything goes to `--out`: a model file and a JSON file for each network, and `comparison.md` and `comparison.json`
over all. What is there is not done again, so a stopped run goes on where it was, and `--crf` may follow later.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aerial_data import CLASSES, IGNORE, REPORT_TILE, SELECT_TILE, join_parts, read_dubai_parts
from dubai import prepare_dubai
from geodeeplab.evaluation import boundary_counts, boundary_iou, confusion_matrix, iou, mean_iou
from geodeeplab.inference import pick_device
from geodeeplab.learner import DeepLab
from geodeeplab.models import Model, Normalisation, SegmentationNetwork, build_model, load_model
from geodeeplab.models.crf import DenseCRF
from geodeeplab.training import Augmentation
from geodeeplab.training.loop.recipe import best_epoch

LINE = {"deeplabv1": "DeepLabV1", "deeplabv2": "DeepLabV2", "deeplabv3": "DeepLabV3", "deeplabv3plus": "DeepLabV3+"}
WIDTHS: dict[str, Sequence[str]] = {
    "deeplabv1": ["fc_channels"],
    "deeplabv2": [],
    "deeplabv3": ["aspp_channels"],
    "deeplabv3plus": ["aspp_channels", "decoder_channels"],
}
"""The arguments that set the width of a head's inner layers; V2 on a ResNet has none."""
CRFS = (
    DenseCRF(w1=4, sxy=67, srgb=10),
    DenseCRF(w1=4, sxy=67, srgb=3),
    DenseCRF(w1=2, sxy=33, srgb=5),
)
"""All with w2 3, sg 1 and ten iterations."""
EPOCHS = 4
"""Parts of a run, after each of which the weights are scored."""
DISTANCE = 3
"""Of the boundary IoU, in pixels."""
TIMED_SIDE = 512
SETTINGS = ("backbone", "steps", "batch", "crop", "lr", "width", "ema", "jitter")
"""The options that decide a result; one folder holds one set of them."""

Parts = Sequence[tuple[np.ndarray, np.ndarray]]
"""Of a tile: images (3, h, w) and class indices (h, w)."""
Facts = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is missing, network by network, and write the table after each."""
    args = parse_arguments(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.data, args.device)
    done = []
    for arch, pointrend, seed in variants(args):
        path = args.out / f"{arch}{'-pointrend' if pointrend else ''}-seed{seed}.json"
        facts = read_facts(path, args) or {"arch": arch, "pointrend": pointrend, "seed": seed}
        for step in missing(facts, args):
            step(facts, path.with_suffix(".safetensors"), bench, args)
            write_json(path, facts)
        done.append(facts)
        write_json(args.out / "comparison.json", done)
        (args.out / "comparison.md").write_text(table(done))
        print(path.stem, summary(facts), flush=True)
    print("\n" + table(done))


def variants(args: argparse.Namespace) -> list[tuple[str, bool, int]]:
    """List the networks as (architecture, PointRend, seed)."""
    return [(a, p, seed) for seed in range(1, args.seeds + 1) for a in args.archs for p in (False, True)]


def missing(facts: Facts, args: argparse.Namespace) -> list[Callable[..., None]]:
    """List what is still to be done with a network."""
    steps: list[Callable[..., None]] = [] if "report" in facts else [train]
    if args.crf and "crf" not in facts:
        steps.append(refine)
    if steps or args.retime:
        steps.append(measure)
    return steps


# ---------------------------------------------------------------------------------------------------------------------
# One network


def build(arch: str, pointrend: bool, seed: int, args: argparse.Namespace) -> SegmentationNetwork:
    """Build a network; with one seed, all have the same backbone."""
    torch.manual_seed(seed)
    widths = dict.fromkeys(WIDTHS[arch], args.width)
    head = {"pointrend": True, "point_channels": args.width} if pointrend else {}
    return build_model(arch=arch, backbone=args.backbone, num_classes=len(CLASSES), **widths, **head)


def train(facts: Facts, path: Path, bench: "Bench", args: argparse.Namespace) -> None:
    """Fit the learner, save its best weights, and score them."""
    steps = -(-args.steps // EPOCHS)
    data = prepare_dubai(
        args.data,
        args.out / "tiles",
        chip_size=args.crop,
        batch_size=args.batch,
        epoch_chips=steps * args.batch,
        augmentation=Augmentation(strength=args.jitter),
        seed=facts["seed"],
    )
    network = build(facts["arch"], facts["pointrend"], facts["seed"], args)
    learner = DeepLab(data, network=network, device=args.device)
    learner.fit(EPOCHS, lr=args.lr, checkpoint=False, ema_decay=args.ema, workers=args.workers)
    learner.save(path, overwrite=True)
    model = load_model(path)
    clock = accumulate(record.seconds for record in learner.history)
    tried = [
        {
            "step": record.epoch * steps,
            "seconds": round(seconds, 1),
            "mIoU": record.miou,
            "boundary": record.boundary_iou,
        }
        for record, seconds in zip(learner.history, clock, strict=True)
    ]
    facts |= {
        "settings": settings(args),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "seconds": tried[-1]["seconds"],
        "tried": tried,
        "choice": best_epoch(learner.history, "miou"),
        "select": score(bench.label(model, bench.select), bench.select),
        "report": score(bench.label(model, bench.report), bench.report),
    }


def refine(facts: Facts, path: Path, bench: "Bench", args: argparse.Namespace) -> None:
    """Choose the CRF's parameters on one tile, and score them on the other."""
    model = load_model(path)
    logits = bench.logits_of_parts(model, bench.select)
    tried = [asdict(crf) | score(refine_parts(crf, logits, bench.select), bench.select) for crf in CRFS]
    choice = max(range(len(CRFS)), key=lambda index: tried[index]["mIoU"])
    labels = refine_parts(CRFS[choice], bench.logits_of_parts(model, bench.report), bench.report)
    facts["crf"] = {
        "tried": tried,
        "choice": choice,
        "select": tried[choice],
        "report": score(labels, bench.report),
    }


def measure(facts: Facts, path: Path, bench: "Bench", args: argparse.Namespace) -> None:
    """Time a tile, without and with the CRF."""
    model = load_model(path)
    facts["ms"] = bench.time_tile(lambda image: bench.logits(model, image))
    if "crf" in facts:
        crf = CRFS[facts["crf"]["choice"]]
        facts["crf"]["ms"] = bench.time_tile(lambda image: crf.refine(bench.logits(model, image), image))


def refine_parts(crf: DenseCRF, logits: Sequence[np.ndarray], parts: Parts) -> list[np.ndarray]:
    """Give class indices (h, w) after the CRF, which looks at the image's colours; parts in threads."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(lambda pair: crf.refine(pair[0], pair[1][0]).argmax(0), zip(logits, parts, strict=True)))


class Bench:
    """The parts of the tiles that choose and report, and models run on them."""

    def __init__(self, folder: Path, device: str) -> None:
        """Read the tiles."""
        self.select, self.report = (read_dubai_parts(folder, tile) for tile in (SELECT_TILE, REPORT_TILE))
        self.device = pick_device(device)

    @torch.inference_mode()
    def logits(self, model: Model, image: np.ndarray) -> np.ndarray:
        """Give logits (K, h, w) of an image (3, h, w), float32, at the precision that the learner trains at."""
        place, dtype = self.device.torch_device, self.device.autocast_dtype
        network = model.network.eval().to(place).to(memory_format=torch.channels_last)
        x = torch.from_numpy(image)[None].to(place).float()
        valid = torch.ones((1, *x.shape[-2:]), dtype=torch.bool, device=place)
        normalised = Normalisation(model.contract).to(place)(x, valid).contiguous(memory_format=torch.channels_last)
        with torch.autocast(place.type, dtype or torch.bfloat16, enabled=dtype is not None):
            logits: torch.Tensor = network(normalised, valid)[0]
        found: np.ndarray = logits.float().cpu().numpy()
        return found

    def logits_of_parts(self, model: Model, parts: Parts) -> list[np.ndarray]:
        """Give logits (K, h, w) of every part, seen as a whole."""
        return [self.logits(model, image) for image, _ in parts]

    def label(self, model: Model, parts: Parts) -> list[np.ndarray]:
        """Give class indices (h, w) of every part."""
        return [logits.argmax(0) for logits in self.logits_of_parts(model, parts)]

    def time_tile(self, work: Callable[[np.ndarray], object]) -> float:
        """Give the milliseconds that work on a tile takes, the least of five after one to warm up."""
        image = join_parts(self.report)[0][:, :TIMED_SIDE, :TIMED_SIDE]
        laps = []
        for _ in range(6):
            started = time.perf_counter()
            work(image)
            laps.append(1000 * (time.perf_counter() - started))
        return round(min(laps[1:]), 1)


def score(labels: Iterable[np.ndarray], parts: Parts) -> Facts:
    """Score class indices of all parts, joined to the tile: pixels and boundaries, per class and on average."""
    found, truth = join_parts([(each, truth) for each, (_, truth) in zip(labels, parts, strict=True)])
    classes: Facts = {"class_ids": range(len(CLASSES)), "ignore": IGNORE}
    pixels = confusion_matrix(found, truth, **classes)
    edges = boundary_iou(boundary_counts(found, truth, distance=DISTANCE, **classes))
    return {
        "mIoU": round(mean_iou(pixels), 4),
        "boundary": round(float(np.nanmean(edges)), 4),
        "IoU": iou(pixels).round(4).tolist(),
        "boundary_IoU": edges.round(4).tolist(),
    }


# ---------------------------------------------------------------------------------------------------------------------
# What is kept


def settings(args: argparse.Namespace) -> Facts:
    """Give the options that decide a result."""
    return {name: getattr(args, name) for name in SETTINGS}


def read_facts(path: Path, args: argparse.Namespace) -> Facts:
    """Read what is known of a network, nothing if it has not been trained."""
    if not path.exists():
        return {}
    facts: Facts = json.loads(path.read_text())
    if facts["settings"] != settings(args):
        raise SystemExit(f"{path} was trained with {facts['settings']}, not {settings(args)}: choose another --out")
    return facts


def write_json(path: Path, facts: object) -> None:
    """Write a file as a whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(facts, indent=1))
    draft.replace(path)


def summary(facts: Facts) -> str:
    """Say in a line how a network did."""
    rows = [("", facts), *([("CRF ", facts["crf"])] if "crf" in facts else [])]
    return "; ".join(f"{name}mIoU {row['report']['mIoU']}, boundary {row['report']['boundary']}" for name, row in rows)


def table(done: Sequence[Facts]) -> str:
    """Write all networks as a Markdown table, seeds as mean ± standard deviation."""
    lines = [
        f"{', '.join(f'{name} {value}' for name, value in done[0]['settings'].items())}; boundary IoU at {DISTANCE} px",
        "",
        f"| network | parameters | training, s | a {TIMED_SIDE}² tile, ms | tile {SELECT_TILE} (selection): mIoU "
        f"| boundary IoU | tile {REPORT_TILE} (report): mIoU | boundary IoU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arch, pointrend, with_crf in ((a, p, c) for a in LINE for p in (False, True) for c in (False, True)):
        runs = [each for each in done if (each["arch"], each["pointrend"]) == (arch, pointrend)]
        rows = [each["crf"] for each in runs if "crf" in each] if with_crf else runs
        if not rows:
            continue
        name = LINE[arch] + (" + PointRend" if pointrend else "") + (" + CRF" if with_crf else "")
        cells = [
            f"{runs[0]['parameters'] / 1e6:.2f} M",
            "" if with_crf else spread([run["seconds"] for run in runs], digits=0),
            spread([row["ms"] for row in rows], digits=0),
        ]
        cells += [
            spread([row[tile][key] for row in rows]) for tile in ("select", "report") for key in ("mIoU", "boundary")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Write a mean, with the standard deviation of several."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Tile 2, 4, 5, 6, 7, 8")
    parser.add_argument("--out", type=Path, default=Path("out/compare_line"))
    parser.add_argument("--archs", nargs="+", choices=list(LINE), default=list(LINE))
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument(
        "--steps", type=int, default=400, help=f"for every network, rounded up to a multiple of {EPOCHS}"
    )
    parser.add_argument("--seeds", type=int, default=1, help="runs of every network, with seeds 1, 2, ...")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256, help="pixels of a chip along each axis")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=128, help="channels of the heads' inner layers")
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--jitter", type=float, default=0.6)
    parser.add_argument("--crf", action=argparse.BooleanOptionalAction, default=True, help="also refine with the CRF")
    parser.add_argument("--retime", action="store_true", help="time the tiles again, on a machine at rest")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw chips")
    args = parser.parse_args(arguments)
    args.device = str(pick_device(args.device).torch_device)
    return args


if __name__ == "__main__":
    main()
