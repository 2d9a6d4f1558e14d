import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

import label_curve

SMALL = "--steps 2 --batch 2 --crop 32 --width 16 --device cpu".split()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_curve, "BLOCK", 32)
    monkeypatch.setattr(label_curve, "EPOCH_STEPS", 2)


def test_larger_shares_hold_the_blocks_of_smaller_ones(data: Path, tmp_path: Path) -> None:
    args = label_curve.parse_arguments(["--data", str(data), "--out", str(tmp_path), *SMALL])
    labelled = []
    for share in (0.1, 0.5, 1.0):
        _, labels = label_curve.keep_blocks(4, share, 1, args)
        with rasterio.open(labels) as src:
            labelled.append(src.read(1) > 0)
    least, half, everything = labelled
    assert least.sum() < half.sum() < everything.sum()
    assert not (least & ~half).any()
    assert least.sum() <= 3 * 32**2  # of 25 blocks, the last ones cut
    assert len(np.unique(least[:32, :32])) == 1


@pytest.mark.slow
def test_every_run_takes_the_same_steps_and_the_claims_stand_beside_the_scores(data: Path, tmp_path: Path) -> None:
    options = ["--shares", "0.5", "1", "--splits", "random"]
    with pytest.warns(UserWarning, match="random"):
        label_curve.main(["--data", str(data), "--out", str(tmp_path), *SMALL, *options])
    half, claimed = (
        json.loads((tmp_path / f"{name}-seed1.json").read_text()) for name in ("share-0.5", "split-random")
    )
    assert 0 <= half["report"]["miou"] <= 1
    assert 0 <= claimed["claimed"] <= 1
    curve, splits = (tmp_path / "labels.md").read_text().split("\n\n")
    assert [line.split("|")[1].strip() for line in curve.splitlines()[2:]] == ["0.5", "1"]
    assert splits.splitlines()[2].startswith(f"| random | {claimed['claimed']:.3f} |")
    assert (tmp_path / "labels.png").stat().st_size > 10_000
