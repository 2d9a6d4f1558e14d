"""Time the dense CRF on real images, beside pydensecrf where it can be imported.

    OMP_NUM_THREADS=2 python benchmarks/crf.py --image "../shared/data/dubai/Tile 4/images/image_part_001.jpg" ...

One 512 × 512 crop of each image, 7 classes in squares of 16 pixels by chance, 10 iterations. Times are wall clock,
medians of five rounds or more in which all programs take turns; building the lattice counts, the first call (which
compiles or loads the kernels) does not. A single tile is refined on one thread; two tiles at once in two threads, as
`segment` does it, are given per tile. "same" compares with pydensecrf: share of equal labels, mean difference of
probabilities. Prints a Markdown table. scripts/crf_golden.py says how to build pydensecrf.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from geodeeplab.inference import CRFRefiner
from geodeeplab.models.crf import DenseCRF, Guide
from geodeeplab.models.crf.kernels import BilateralKernel

SIDE, CLASSES = 512, 7
CASES = (DenseCRF(), DenseCRF(w1=10, sxy=80, srgb=13, w2=3, sg=3))


def make_logits() -> NDArray[np.float32]:
    """Give log-probabilities (K, H, W)."""
    coarse = np.random.default_rng(0).normal(0, 2, (CLASSES, SIDE // 16, SIDE // 16))
    logits = coarse.repeat(16, axis=1).repeat(16, axis=2)
    log_probs: NDArray[np.float32] = (logits - np.logaddexp.reduce(logits, axis=0)).astype(np.float32)
    return log_probs


def with_pydensecrf(crf: DenseCRF, logits: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give probabilities (K, H, W) of the same CRF by pydensecrf."""
    from pydensecrf.densecrf import DenseCRF2D

    model = DenseCRF2D(SIDE, SIDE, CLASSES)
    model.setUnaryEnergy(np.ascontiguousarray(-logits.reshape(CLASSES, -1)))
    model.addPairwiseGaussian(sxy=crf.sg, compat=crf.w2)
    rgb = np.ascontiguousarray(image.transpose(1, 2, 0))
    model.addPairwiseBilateral(sxy=crf.sxy, srgb=crf.srgb, rgbim=rgb, compat=crf.w1)
    probs: NDArray[np.float32] = np.array(model.inference(crf.iterations), np.float32).reshape(logits.shape)
    return probs


def medians(programs: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Give each program's median seconds over rounds in which all take turns."""
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for index in range(rounds + 1):
        for name, program in programs.items():
            started = time.perf_counter()
            program()
            if index:  # the first round warms up
                taken[name].append(time.perf_counter() - started)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def measure(path: Path, crf: DenseCRF, *, rounds: int, beside: bool) -> str:
    """Give the table's line for an image and a CRF."""
    image = np.asarray(Image.open(path).convert("RGB"))[:SIDE, :SIDE].transpose(2, 0, 1)
    if image.shape[1:] != (SIDE, SIDE):
        raise SystemExit(f"{path} is smaller than {SIDE} × {SIDE}: choose a larger image")
    logits, valid = make_logits(), np.ones((SIDE, SIDE), bool)

    def build() -> BilateralKernel:
        return BilateralKernel(image, valid, weight=crf.w1, sxy=crf.sxy, srgb=crf.srgb)

    refiner = CRFRefiner(crf, Guide.of_bands([(0.0, 255.0)] * 3))
    pair = np.stack([image] * 2), np.stack([valid] * 2), torch.from_numpy(np.stack([logits] * 2))
    programs: dict[str, Callable[[], object]] = {"build": build, "ours": lambda: crf.refine(logits, image)}
    programs["pair"] = lambda: refiner(*pair)
    agreement = ""
    if beside:
        programs["pydensecrf"] = lambda: with_pydensecrf(crf, logits, image)
        ours, theirs = crf.refine(logits, image), with_pydensecrf(crf, logits, image)
        same = (ours.argmax(0) == theirs.argmax(0)).mean()
        agreement = f"{same:.4f}, {np.abs(np.exp(ours) - theirs).mean():.1e}"
    seconds = medians(programs, rounds=rounds)
    cells = [f"{path.parent.parent.name}, {path.stem}", f"{crf.w1:g}/{crf.sxy:g}/{crf.srgb:g}, {crf.w2:g}/{crf.sg:g}"]
    cells += [f"{build()._lattice.size:,}", f"{seconds['build']:.2f}", f"**{seconds['ours']:.2f}**"]
    cells += [f"{seconds['pair'] / 2:.2f}", f"{seconds['pydensecrf']:.2f}" if beside else "", agreement]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    try:
        import pydensecrf.densecrf  # noqa: F401

        beside = True
    except ImportError:
        beside = False
    print("| image | w1/sxy/srgb, w2/sg | corners | build, s | in all, s | a tile of two, s | pydensecrf, s | same |")
    print("|---|---|--:|--:|--:|--:|--:|---|")
    for path in options.image:
        for crf in CASES:
            print(measure(path, crf, rounds=options.rounds, beside=beside), flush=True)


if __name__ == "__main__":
    main()
