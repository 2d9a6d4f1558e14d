"""`geodeeplab segment --crf`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

Run = Callable[..., Any]


def read_labels(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        labels: np.ndarray = src.read(1)
    return labels


def test_it_is_the_crf_of_the_library(run: Run, segment_args: list[object], scene: Path, out: Path) -> None:
    import geodeeplab as gdl
    from geodeeplab.models.crf import DenseCRF

    args = [
        *segment_args,
        "--label-raster",
        out / "a.tif",
        "--crf",
        "--crf-params",
        "sxy=16,srgb=20",
        "--crf-bands",
        "1,2",
    ]
    ran = run(*args, "--json")
    assert ran.status == 0
    assert ran.err == ""
    assert json.loads(ran.out)["crf"]["srgb"] == 20
    crf, model = DenseCRF(sxy=16, srgb=20), str(segment_args[-1])
    gdl.segment(scene, label_raster=out / "b.tif", model=model, crf=crf, crf_bands=[1, 2])
    np.testing.assert_array_equal(read_labels(out / "a.tif"), read_labels(out / "b.tif"))


def test_what_was_changed_stands_on_the_closing_line(run: Run, segment_args: list[object]) -> None:
    ran = run(*segment_args, "--crf", "--crf-params", "sxy=20")
    assert ran.status == 0
    assert ran.err == ""
    assert ran.out.endswith("for writes; CRF: overlap raised from 32 to 40, twice sxy)\n")


def test_a_reduced_sxy_is_a_warning_too(run: Run, segment_args: list[object]) -> None:
    ran = run(*segment_args, "--crf")
    assert ran.status == 0
    assert ran.err.startswith("warning: CRF: sxy reduced from 67 to 32, a quarter of the tile size, overlap raised")
    assert "CRF: sxy reduced" in ran.out


def test_without_it_nothing_is_said(run: Run, segment_args: list[object]) -> None:
    assert "CRF" not in run(*segment_args).out


def test_refusals(expect_refused: Callable[..., None], segment_args: list[object]) -> None:
    expect_refused(*segment_args, "--crf-params", "w1=3", match="--crf-params and --crf-bands need --crf", status=2)
    expect_refused(*segment_args, "--crf", "--crf-params", "sigma=3", match="parameters are w1, sxy, .* not 'sigma'")
    expect_refused(*segment_args, "--crf", "--crf-params", "srgb=0", match="srgb of the CRF lies within")
    expect_refused(*segment_args, "--crf", "--crf-bands", "nir", match="has no band 'nir'")
