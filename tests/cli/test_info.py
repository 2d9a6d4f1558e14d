"""`geodeeplab info`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geodeeplab.cli.info import _iter_usefulness_lines, bytes_text, seconds_text
from geodeeplab.models.appearance import SceneDistance

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
Run = Callable[..., Any]


def lines_of(ran: Any) -> dict[str, str]:  # noqa: ANN401 - what the fixture gives
    """Give the lines of a run that went well, by name; of several with one name the last."""
    assert ran.status == 0, ran.err
    return {line[:8].strip(): line[8:] for line in ran.out.splitlines()}


class TestGround:
    @pytest.mark.parametrize(("value", "verdict"), [(0.9, "near"), (2.0, "somewhat far"), (6.2, "far")])
    def test_says_how_far_the_scene_is_and_what_to_do(self, value: float, verdict: Any) -> None:  # noqa: ANN401
        distance = SceneDistance(
            value=value, verdict=verdict, statistic="brightness of red", departure=-2.0, windows=24
        )
        first, *rest = _iter_usefulness_lines(distance, None)
        preposition = "to" if verdict == "near" else "from"
        assert first[0] == "ground"
        assert first[1].startswith(f"{verdict} {preposition} what the model was trained on: {value}, where 1 is usual")
        assert first[1].endswith("most by brightness of red, less here")
        assert [name for name, _ in rest] == (["advice"] if verdict == "far" else [])

    @pytest.mark.parametrize(("expected", "percent", "is_poor"), [(0.913, "91", False), (0.749, "75", True)])
    def test_says_how_sure_the_model_is(self, expected: float, percent: str, is_poor: bool) -> None:
        (name, text), *rest = _iter_usefulness_lines(None, expected)
        assert (name, text.split(" of the pixels right")[0]) == ("expects", f"{percent} %")
        assert [name for name, _ in rest] == (["advice"] if is_poor else [])
        assert not list(_iter_usefulness_lines(None, None))


class TestScene:
    def test_a_file(self, run: Run, scene: Path) -> None:
        ran = run("info", scene)
        assert (ran.status, ran.err) == (0, "")
        first, size, *rest = ran.out.splitlines()
        assert re.fullmatch(rf"scene   {scene} \(GTiff, \d+ kB\)", first)
        assert size.startswith("size    200 × 150 px, blocks of 200 × ")
        assert rest == [
            "crs     EPSG:32633",
            "pixel   1 × 1 (1 × 1 m on the ground)",
            "band 1  red (uint8)",
            "band 2  green (uint8)",
            "band 3  blue (uint8)",
            "valid   everywhere",
        ]

    def test_storage_scale_and_nodata(self, run: Run, make_raster: MakeRaster) -> None:
        path = make_raster(np.ones((2, 4, 5), "uint16"), nodata=0, compress="deflate")
        with rasterio.open(path, "r+") as dst:
            dst.scales, dst.offsets = (1.0, 0.0001), (0.0, -0.1)
        found = lines_of(run("info", path))
        assert "(GTiff, deflate, " in found["scene"]
        assert found["band 1"] == "1 (uint16, nodata 0)"
        assert found["band 2"] == "2 (uint16, nodata 0, × 0.0001 − 0.1)"
        assert found["valid"] == "everywhere unless all bands are 0"

    @pytest.mark.parametrize(
        ("bands", "options", "valid"),
        [
            (1, {"nodata": 7}, "everywhere unless it is 7"),
            (2, {"dtype": "float32"}, "everywhere unless a band is not finite"),
            (4, {"photometric": "rgb", "alpha": "yes"}, "everywhere unless alpha (band 4) is 0"),
            (1, {"mask": np.eye(4, 5, dtype=bool)}, "everywhere unless the file's mask is 0"),
        ],
    )
    def test_validity(self, run: Run, make_raster: MakeRaster, bands: int, options: dict[str, Any], valid: str) -> None:
        path = make_raster(np.ones((bands, 4, 5), "uint8"), **options)
        assert lines_of(run("info", path))["valid"] == valid

    def test_several_files_are_a_mosaic(self, run: Run, make_raster: MakeRaster) -> None:
        paths = [make_raster(np.ones((1, 4, 5), "uint8"), f"{name}.tif") for name in ("a", "b")]
        found = lines_of(run("info", *paths))
        assert "and 1 more (mosaic, " in found["scene"]
        assert found["scene"].endswith("2 files)")
        assert found["valid"] == "everywhere unless no file covers it"

    def test_a_palette(self, run: Run, make_raster: MakeRaster, tiny_model: Path) -> None:
        path = make_raster(np.ones((1, 4, 5), "uint8"))
        with rasterio.open(path, "r+") as dst:
            dst.write_colormap(1, {1: (255, 0, 0)})
        ran = run("info", path)
        assert (ran.status, ran.err) == (0, "")
        assert "palette (uint8)" in ran.out
        found = lines_of(run("info", path, "--model", tiny_model))
        assert "expand it: gdal_translate" in found["needs"]
        assert "tiles" not in found

    def test_no_crs_is_said_once(self, run: Run, make_raster: MakeRaster, tiny_model: Path) -> None:
        path = make_raster(np.ones((3, 40, 50), "uint16"), crs=None, transform=None, photometric="rgb")
        for options in ([], ["--model", tiny_model]):
            ran = run("info", path, *options)
            assert lines_of(ran)["crs"] == "missing"
            assert ran.err.count("warning: ") == 1

    def test_missing(self, expect_refused: Callable[..., None], tmp_path: Path) -> None:
        expect_refused("info", tmp_path / "none.tif", match="does not exist: check the path")

    def test_what_depends_on_a_model(self, expect_refused: Callable[..., None], scene: Path) -> None:
        expect_refused("info", scene, "--bands", "1,2,3", "--tile-size", 64, match="--bands, --tile-size: .*--model")


class TestModel:
    def test_a_scene_that_suits(self, run: Run, scene: Path, tiny_model: Path) -> None:
        ran = run("info", scene, "--model", tiny_model)
        found = lines_of(ran)
        assert ran.err == ""
        assert found["model"] == "tiny: reads red, green, blue (uint8), gives field, wood, roof"
        assert found["tiles"] == "4 of 128 px at an overlap of 32"
        assert found["gsd"] == "the model does not state the pixel size of its training scenes"
        assert re.fullmatch(r"about [\d.]+ s to label all tiles \(.* Mpx/s on cpu .*\)", found["time"])
        assert re.fullmatch(r"about .* for rasters \(.* at most\) and .* for polygons; .* free here", found["disk"])
        assert "needs" not in found

    def test_options_reach_the_run(self, run: Run, scene: Path, tiny_model: Path) -> None:
        options = ["--tile-size", 64, "--overlap", 16, "--batch-size", 3, "--device", "cpu", "--precision", "fp32"]
        options += ["--bands", "3,2,1", "--rescale", "0,200", "--tta", "flips"]
        ran = run("info", scene, "--model", tiny_model, "--json", *options)
        found = json.loads(ran.out, parse_constant=pytest.fail)
        assert {key: found["run"][key] for key in ("tile_size", "overlap", "batch_size", "device", "precision")} == {
            "tile_size": 64,
            "overlap": 16,
            "batch_size": 3,
            "device": "cpu",
            "precision": "fp32",
        }
        assert found["model"]["scene_bands"] == [3, 2, 1]
        assert found["model"]["limits"] == [[0, 200]] * 3
        text = lines_of(run("info", scene, "--model", tiny_model, *options))
        assert text["model"].startswith("tiny: reads red (band 3), green, blue (band 1)")
        assert text["values"] == "red 0–200, green 0–200, blue 0–200 become 0–255"

    def test_values_that_need_rescaling(
        self, run: Run, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path
    ) -> None:
        path = make_raster(blocks(150, 200, bands=4).astype("uint16"), names=("blue", "green", "red", "nir"), nodata=0)
        found = lines_of(run("info", path, "--model", tiny_model))
        assert found["tiles"].startswith("4 of 128 px")
        assert "pass --rescale LOW,HIGH" in found["needs"]
        assert "values" not in found  # nothing is settled yet

    def test_bands_that_are_missing(self, run: Run, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path) -> None:
        found = lines_of(run("info", make_raster(blocks(40, 50, bands=1)), "--model", tiny_model))
        assert "needs red, green, blue: pass --bands" in found["needs"]
        assert found["model"].startswith("tiny: reads red, green, blue ")
        assert "tiles" not in found

    def test_nothing_valid(self, run: Run, make_raster: MakeRaster, tiny_model: Path) -> None:
        path = make_raster(np.zeros((3, 150, 200), "uint8"), nodata=0, photometric="rgb")
        found = lines_of(run("info", path, "--model", tiny_model))
        assert found["tiles"].endswith(", 4 empty")
        assert "has no valid pixel in these bands" in found["needs"]
        assert "time" not in found

    def test_nan_is_no_json(self, run: Run, make_raster: MakeRaster) -> None:
        ran = run("info", make_raster(np.ones((1, 4, 5), "float32"), nodata=np.nan), "--json")
        found = json.loads(ran.out, parse_constant=pytest.fail)
        assert found["scene"]["bands"][0]["nodata"] == "nan"
        assert found["scene"]["bands"][0]["dtype"] == "float32"
        assert found["run"] is None

    def test_refusals(self, expect_refused: Callable[..., None], scene: Path, tiny_model: Path) -> None:
        expect_refused("info", scene, "--model", "none", match="no bundled model and no file")
        expect_refused("info", scene, "--model", tiny_model, "--tile-size", 8, match="a tile has at least 32 pixels")
        expect_refused("info", scene, "--model", tiny_model, "--gsd-m", "model", match="does not say its ground")


class TestText:
    @pytest.mark.parametrize(
        ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (23_400_000, "23 MB"), (8.5e9, "8.5 GB")]
    )
    def test_bytes(self, count: float, text: str) -> None:
        assert bytes_text(count) == text

    @pytest.mark.parametrize(("seconds", "text"), [(3.14, "3.1 s"), (100, "100 s"), (150, "2.5 min"), (9000, "2.5 h")])
    def test_seconds(self, seconds: float, text: str) -> None:
        assert seconds_text(seconds) == text
