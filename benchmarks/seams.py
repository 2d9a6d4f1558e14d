"""Show whether tile lines can be seen in the labels: changes across them beside changes elsewhere.

    python benchmarks/seams.py SCENE

For every vertical tile line of a blend and an overlap (the middle of the overlap) it counts the pairs of neighbouring
pixels with different labels, and the same between all columns more than 8 px away from a line: what the ground does by
itself. Prints a Markdown table; a ratio of 1 means that no line shows. Single-file RGB uint8 scenes, bundled model.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio

from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.models import load_model
from geodeeplab.pipeline.segment import segment

CASES = (("none", 0), ("none", 128), ("linear", 128), ("hann", 128))
NEAR = 8


def changes(labels: np.ndarray, lines: np.ndarray) -> tuple[float, float]:
    """Give the share of label changes across the columns `lines` (H, W), and across all columns far from them."""
    share = (labels[:, 1:] != labels[:, :-1]).mean(axis=0)  # share[c] is between columns c and c + 1
    far = np.abs(np.arange(1, labels.shape[1])[:, None] - lines).min(axis=1) > NEAR
    return float(share[lines - 1].mean()), float(share[far].mean())


def main() -> None:
    """Segment the scene once a case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    args = parser.parse_args()
    model = load_model()
    warnings.simplefilter("ignore", GeoDeepLabWarning)
    print("| blend | overlap | lines | changes at lines | elsewhere | ratio |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "labels.tif"
        for blend, overlap in CASES:
            segment(args.scene, labels=path, model=model, blend=blend, overlap=overlap, overwrite=True)
            with rasterio.open(path) as src:
                labels = src.read(1)
            size = model.contract.tile_size
            lines = np.arange(size - overlap // 2, labels.shape[1] - NEAR, size - overlap)
            at, elsewhere = changes(labels, lines)
            print(
                f"| {blend} | {overlap} | {len(lines)} | {at:.2%} | {elsewhere:.2%} | {at / elsewhere:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
