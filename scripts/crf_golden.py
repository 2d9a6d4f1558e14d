"""Freeze what pydensecrf makes of a small image, for tests/models/test_crf.py.

    python scripts/crf_golden.py tests/models/data/crf_golden.npz

Needs pydensecrf. Its version 1.0rc3 builds on Python 3.11 from the source package with Cython 0.29, once the C++ files
that an older Cython made are gone:

    pip download --no-deps --no-binary :all: --no-build-isolation pydensecrf && tar xzf pydensecrf-1.0rc3.tar.gz
    cd pydensecrf-1.0rc3 && rm pydensecrf/eigen.cpp pydensecrf/densecrf.cpp
    pip install "cython<3" setuptools && python setup.py build_ext --inplace && export PYTHONPATH=$PWD
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES, SIDE, ITERATIONS = 3, 24, 10
CASES = {"v2": (4, 67, 3, 3, 1), "v1": (10, 80, 13, 3, 3), "bilateral_v2": (4, 67, 3, 0, 1), "smooth": (0, 1, 1, 3, 3)}
"""w1, sxy, srgb, w2, sg; a kernel of weight 0 is left out."""


def make_case() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Give log-probabilities (K, H, W) and an image (3, H, W): squares of one colour with noise, classes in doubt."""
    rng = np.random.default_rng(24)
    classes = rng.integers(0, CLASSES, (4, 4)).repeat(6, axis=0).repeat(6, axis=1)
    colors = rng.integers(40, 215, (CLASSES, 3))
    image = np.clip(colors[classes] + rng.normal(0, 4, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    logits = rng.normal(0, 1, (CLASSES, SIDE, SIDE)) + 2 * (np.arange(CLASSES)[:, None, None] == np.roll(classes, 1))
    logits -= np.log(np.exp(logits).sum(axis=0))
    return logits.astype(np.float32), np.ascontiguousarray(image.transpose(2, 0, 1))


def main() -> None:
    """Write inputs and probabilities."""
    from pydensecrf.densecrf import DenseCRF2D

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dst", type=Path)
    dst = parser.parse_args().dst
    logits, image = make_case()
    arrays: dict[str, Any] = {"logits": logits, "image": image}
    for name, (w1, sxy, srgb, w2, sg) in CASES.items():
        crf = DenseCRF2D(SIDE, SIDE, CLASSES)
        crf.setUnaryEnergy(np.ascontiguousarray(-logits.reshape(CLASSES, -1)))
        if w2:
            crf.addPairwiseGaussian(sxy=sg, compat=w2)
        if w1:
            rgb = np.ascontiguousarray(image.transpose(1, 2, 0))
            crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=rgb, compat=w1)
        arrays[name] = np.array(crf.inference(ITERATIONS), np.float32).reshape(logits.shape)
        arrays[f"{name}_parameters"] = np.array(CASES[name], np.float64)
    np.savez_compressed(dst, **arrays)


if __name__ == "__main__":
    main()
