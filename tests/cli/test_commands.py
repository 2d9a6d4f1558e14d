"""The commands on input that is as it should be."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import torch

from geodeeplab.models import PUBLISHED

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
Run = Callable[..., Any]


class TestSegment:
    def test_writes_all_outputs_and_a_closing_line(self, run: Run, segment_args: list[object], out: Path) -> None:
        ran = run(*segment_args, "--label-raster", out / "labels.tif", "--confidence", out / "confidence.tif")
        assert (ran.status, ran.err) == (0, "")
        assert sorted(path.name for path in out.iterdir()) == [
            "confidence.tif",
            "labels.tif",
            "labels.tif.aux.xml",
            "landcover.gpkg",
        ]
        (line,) = ran.out.splitlines()
        assert line.startswith(f"{out / 'landcover.gpkg'} {out / 'labels.tif'} {out / 'confidence.tif'}: 200 × 150 px")
        assert "Mpx/s on" in line
        assert "4 tiles; waited" in line

    def test_json_is_all_that_stdout_gets(
        self, run: Run, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path, out: Path
    ) -> None:
        scene = make_raster(blocks(150, 200).astype("float32"), photometric="rgb", crs=None, transform=None)
        ran = run(
            *("segment", scene, "--label-raster", out / "a.tif", "--model", tiny_model, "--json"),
            *("--rescale", "2%,98%"),
        )
        assert ran.status == 0
        (warning,) = ran.err.splitlines()
        assert warning.startswith("warning: ")
        assert "has no CRS" in warning
        facts = json.loads(ran.out, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
        assert facts["outputs"] == [str(out / "a.tif")]
        assert facts["bands"] == ["red", "green", "blue"]
        assert facts["tiles"] == {"forwarded": 4, "skipped": 0}
        assert len(facts["rescale"]) == 3

    def test_options_reach_the_run(self, run: Run, segment_args: list[object]) -> None:
        options = ["--tile-size", 64, "--overlap", 16, "--blend", "none", "--batch-size", 3, "--device", "cpu"]
        facts = json.loads(run(*segment_args, *options, "--precision", "fp32", "--json").out)
        assert {key: facts[key] for key in ("tile_size", "overlap", "blend", "batch_size", "device", "precision")} == {
            "tile_size": 64,
            "overlap": 16,
            "blend": "none",
            "batch_size": 3,
            "device": f"cpu {torch.backends.cpu.get_cpu_capability()}",
            "precision": "fp32",
        }

    def test_overwrite_replaces(self, run: Run, segment_args: list[object], out: Path) -> None:
        (out / "landcover.gpkg").write_text("old")
        assert run(*segment_args, "--overwrite").status == 0
        assert pyogrio.read_info(out / "landcover.gpkg", layer="landcover")["features"] > 1
        assert [path.name for path in out.iterdir()] == ["landcover.gpkg"]

    @pytest.mark.parametrize("bands", ["3,2,1", "Blue, green ,RED"])
    def test_bands_by_number_and_by_name(self, run: Run, segment_args: list[object], bands: str) -> None:
        facts = json.loads(run(*segment_args, "--bands", bands, "--json").out)
        assert facts["bands"] == ["blue", "green", "red"]


class TestVectorize:
    def test_the_labels_of_segment_give_its_polygons(self, run: Run, segment_args: list[object], out: Path) -> None:
        run(*segment_args, "--label-raster", out / "labels.tif")
        ran = run("vectorize", out / "labels.tif", "-o", out / "again.gpkg")
        assert (ran.status, ran.err) == (0, "")
        assert re.fullmatch(rf"{out / 'again.gpkg'}: \d+ polygons of \d+ × \d+ px in \d+\.\d s\n", ran.out)
        columns = ["class_id", "class_name", "area_m2", "perimeter_m"]
        first, again = (
            pyogrio.raw.read(out / name, layer="landcover", columns=columns)[2:]
            for name in ("landcover.gpkg", "again.gpkg")
        )
        assert list(first[0]) == list(again[0])
        assert all(list(a) == list(b) for a, b in zip(first[1], again[1], strict=True))

    def test_connectivity_and_nodata(self, run: Run, make_raster: MakeRaster, out: Path) -> None:
        labels = make_raster(np.array([[[1, 2], [2, 1]]], dtype="int16"))
        counts = {}
        for connectivity, nodata in (("4", 0), ("8", 0), ("4", 2)):
            path = out / f"{connectivity}-{nodata}.gpkg"
            assert run("vectorize", labels, "-o", path, "--connectivity", connectivity, "--nodata", nodata).status == 0
            counts[connectivity, nodata] = pyogrio.read_info(path, layer="landcover")["features"]
        assert counts == {("4", 0): 4, ("8", 0): 2, ("4", 2): 2}

    @pytest.mark.parametrize(
        ("dtype", "options", "match"),
        [
            ("uint8", ["--nodata", 256], "labels of uint8 are never 256: choose"),
            ("uint8", ["--band", 2], "has no band '2', it has 1 band"),
        ],
    )
    def test_refusals(
        self,
        expect_refused: Callable[..., None],
        make_raster: MakeRaster,
        out: Path,
        dtype: str,
        options: list[object],
        match: str,
    ) -> None:
        labels = make_raster(np.ones((1, 4, 5), dtype))
        expect_refused("vectorize", labels, "-o", out / "a.gpkg", *options, match=match)

    def test_refused_outputs(self, expect_refused: Callable[..., None], make_raster: MakeRaster, out: Path) -> None:
        labels = make_raster(np.ones((1, 4, 5), "uint8"))
        (out / "taken.gpkg").write_text("dear to someone")
        expect_refused("vectorize", out / "none.tif", "-o", out / "a.gpkg", match="does not exist: check the path")
        expect_refused("vectorize", labels, "-o", out / "taken.gpkg", match="exists: pass --overwrite")
        expect_refused("vectorize", labels, "-o", out / "a.shp", match="which nobody here writes: use .gpkg or")
        expect_refused("vectorize", labels, "-o", out / "new" / "a.gpkg", match="does not exist: create it first")


class TestModels:
    def test_lists_the_bundled_ones(self, run: Run) -> None:
        ran = run("models")
        assert (ran.status, ran.err) == (0, "")
        names = [line.split(":")[0] for line in ran.out.splitlines() if not line.startswith(" ")]
        assert names == ["buildings-aerial", "landcover-aerial", "landcover-satellite"]
        assert "reads   red, green, blue (uint8" in ran.out
        assert "1 building, 2 land, 3 road, 4 vegetation, 5 water" in ran.out

    def test_describes_a_file(self, run: Run, tiny_model: Path) -> None:
        assert run("models", tiny_model).out.splitlines() == [
            "tiny: deeplabv3 mobilenet_v2 + PointRend",
            "  reads   red, green, blue (uint8)",
            "  gives   1 field, 2 wood, 3 roof",
            "  licence CC0-1.0",
        ]

    def test_prints_the_contract(self, run: Run, tiny_model: Path) -> None:
        contract = json.loads(run("models", tiny_model, "--json").out)
        assert contract["name"] == "tiny"
        assert [item["name"] for item in contract["classes"]] == ["field", "wood", "roof"]

    def test_unknown(self, expect_refused: Callable[..., None]) -> None:
        expect_refused("models", "landcover-lunar", match="no bundled model and no file is called 'landcover-lunar'")

    def test_architectures_come_with_their_costs(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        few = {name: PUBLISHED[name] for name in ("deeplabv3_resnet50", "deeplabv1_vgg16_largefov")}
        monkeypatch.setattr("geodeeplab.models.PUBLISHED", few)
        lines = run("models", "--architectures").out.splitlines()
        assert lines[0].split() == "network (21 classes) parameters GFLOPs at 512² stride mean IoU as reported".split()
        row = next(line for line in lines if line.startswith("deeplabv3_resnet50 "))
        assert row.split()[1:5] == ["39.64", "M", "327.2", "8"]
        table = json.loads(run("models", "--architectures", "--json").out)
        assert table["deeplabv1_vgg16_largefov"]["parameters"] == 20_505_429

    def test_architectures_are_of_no_model(self, run: Run) -> None:
        ran = run("models", "landcover-aerial", "--architectures")
        assert ran.status == 2
        assert "takes no model" in ran.err


class TestDemo:
    def test_fills_a_folder_with_the_bundled_model(
        self, run: Run, make_raster: MakeRaster, blocks: Blocks, out: Path
    ) -> None:
        scene = make_raster(blocks(60, 80), photometric="rgb")
        ran = run("demo", scene, "--out", out / "new")
        scaled = "the scene's pixels of 1 m are scaled to the model's 0.74 m (--gsd-m native leaves them)"
        assert (ran.status, ran.err) == (0, f"warning: {scaled}\n")
        assert {path.name for path in (out / "new").iterdir()} == {
            "landcover.gpkg",
            "landcover.tif",
            "landcover.tif.aux.xml",
            "landcover.png",
        }
        *areas, closing, picture = ran.out.splitlines()
        assert sum(float(line.split()[1]) for line in areas) == pytest.approx(0.48, abs=0.03)  # hectares
        assert sum(float(line.split()[3]) for line in areas) == pytest.approx(100, abs=0.5)
        assert "80 × 60 px" in closing
        assert picture == f"look at {out / 'new' / 'landcover.png'}"

    def test_refusals(self, expect_refused: Callable[..., None], scene: Path, out: Path) -> None:
        (out / "file").touch()
        expect_refused("demo", scene, "--out", out / "file", match="cannot be made .*: choose another with --out")
        expect_refused("demo", out / "none.tif", "--out", out, match="does not exist: check the path")


class TestHelp:
    @pytest.mark.parametrize("command", ["segment", "vectorize", "evaluate", "info", "models", "export", "demo"])
    def test_every_command_says_what_it_takes(self, run: Run, command: str) -> None:
        ran = run(command, "--help")
        assert ran.status == 0
        assert ran.out.startswith(f"Usage: geodeeplab {command} ")

    def test_without_a_command(self, run: Run) -> None:
        ran = run()
        assert ran.status == 2
        assert "Commands:" in ran.err
        assert run("--help").status == 0

    def test_version(self, run: Run) -> None:
        import geodeeplab

        assert run("--version").out == f"geodeeplab, version {geodeeplab.__version__}\n"
