"""`geodeeplab change`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[..., Any]
MakeRaster = Callable[..., Path]


def test_a_matrix(run: Run, make_raster: MakeRaster, out: Path) -> None:
    before = np.ones((1, 20, 30), np.uint8)
    after = before.copy()
    after[0, 5:10, 5:10] = 2
    a, b = make_raster(before, "a.tif", nodata=0), make_raster(after, "b.tif", nodata=0)
    ran = run("change", a, b, "-o", out / "c.gpkg", "--shift-px", 1, "--figure", out / "c.png", "--min-area-px", 3)
    assert (ran.status, ran.err) == (0, "")
    assert "changed: 4.17%; 1 polygons" in ran.out.splitlines()
    assert sorted(path.name for path in out.iterdir()) == ["c.gpkg", "c.png"]
    ran = run("change", a, b, "-o", out / "d.gpkg", "--json")
    assert json.loads(ran.out)["pixels"] == [[575, 25], [0, 0]]
    options = ("--label-raster", out / "e.tif", "--html", out / "e.html", "--sieve-labels", "--min-area-px", 3)
    ran = run("change", a, b, "-o", out / "e.gpkg", *options)
    assert (ran.status, ran.err) == (0, "")
    assert {path.name for path in out.glob("e.*")} == {"e.gpkg", "e.tif", "e.tif.aux.xml", "e.html"}
    ran = run("change", a, b, "-o", out / "e.gpkg", "--shift-px", -1)
    assert ran.status == 1
    assert "--shift-px is a distance" in ran.err
    ran = run("change", a, b, "-o", out / "f.gpkg", "--bands", "3,2,1")
    assert ran.status == 1
    assert "give a model, --model" in ran.err
