"""`geodeeplab check` and `geodeeplab sample`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

Run = Callable[..., Any]
MakeRaster = Callable[..., Path]


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    x, y = 500_000, 5_000_000
    shapes = [box(x, y, x + 10, y + 10), box(x + 9, y, x + 20, y + 10)]
    frame = gpd.GeoDataFrame({"class_name": ["field", None]}, geometry=shapes, crs="EPSG:32633")
    frame.to_file(tmp_path / "fields.gpkg", layer="fields")
    return tmp_path / "fields.gpkg"


def test_faults_are_told_and_written(run: Run, fields: Path, out: Path) -> None:
    ran = run("check", fields, "--faults", out / "faults.gpkg", "--class", "wood")
    assert (ran.status, ran.err) == (3, "")
    head, *lines = ran.out.splitlines()
    assert head == f"{fields}: 2 features, 3 faults"
    assert [line.split("  ")[0] for line in lines[1:4]] == ["no class", "unknown class", "overlap"]
    assert lines[3].endswith("feature 1 and 2 at 500009.5, 5000005 10 square units")
    assert lines[-1].startswith("not checked: holes wider than 1: --gap-width all")
    assert len(gpd.read_file(out / "faults.gpkg", layer="overlaps_and_gaps")) == 1


def test_as_json(run: Run, fields: Path) -> None:
    ran = run("check", fields, "--json", "--gap-width", "all")
    assert ran.status == 3
    found = json.loads(ran.out)
    assert {kind: one["count"] for kind, one in found["kinds"].items()} == {"no class": 1, "overlap": 1}
    assert found["gap_width"] == "all"


def test_nothing_wrong(run: Run, fields: Path) -> None:
    good = gpd.read_file(fields).iloc[:1]
    good.to_file(fields.with_name("good.gpkg"), layer="fields")
    ran = run("check", fields.with_name("good.gpkg"), "--min-area", 50, "--class", "field", "--crs", "EPSG:32633")
    assert (ran.status, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("options", "match", "status"),
    [
        (["--gap-width", "wide"], "'wide' is no number, and not 'all'", 2),
        (["--class-field", "use"], "has no field 'use'", 1),
        (["--layer", "woods"], "cannot be read", 1),
        (["--model", "none"], "none", 1),
        (["--min-area", "-1"], "--min-area is 0 or more", 1),
    ],
)  # fmt: skip
def test_refusals(run: Run, fields: Path, options: list[str], match: str, status: int) -> None:
    ran = run("check", fields, *options)
    assert ran.status == status
    assert match in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_sample_is_drawn(run: Run, make_raster: MakeRaster, out: Path) -> None:
    labels = make_raster(np.repeat([[[1, 1, 2]]], 40, axis=1).repeat(20, axis=2).astype(np.uint8), "l.tif", nodata=0)
    ran = run("sample", labels, "-o", out / "p.gpkg", "-n", 90, "--least", 10, "--expected", "1=0.9", "--blind")
    assert (ran.status, ran.err) == (0, "")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["class", "share", "points"],
        ["1", "66.67%", "60"],
        ["2", "33.33%", "30"],
        ["all", "90"],
    ]
    ran = run("sample", labels, "-o", out / "p.gpkg", "--expected", "0.9", "--overwrite", "--json")
    assert json.loads(ran.out)["classes"][0]["points"] == 437  # 900, were the pixels without end
    ran = run("sample", labels, "-o", out / "q.gpkg", "--expected", "a=b")
    assert ran.status == 2
    assert "'a=b' is not CLASS=U" in ran.err
