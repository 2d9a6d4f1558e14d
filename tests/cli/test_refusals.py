"""Bad input: one line on stderr (rule, value met, next step), no output, nothing left lying about."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from safetensors.torch import load_file, save_file

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
Refused = Callable[..., None]


class TestScenes:
    """Scenes that cannot be used at all, or not by an RGB model."""

    @pytest.fixture
    def expect_scene_refused(self, expect_refused: Refused, tiny_model: Path, out: Path) -> Refused:
        def check(scene: Path, *argv: object, match: str) -> None:
            expect_refused("segment", scene, "-o", out / "a.gpkg", "--model", tiny_model, *argv, match=match)

        return check

    def test_missing(self, expect_scene_refused: Refused, tmp_path: Path) -> None:
        expect_scene_refused(tmp_path / "none.tif", match="none.tif' does not exist: check the path")

    def test_a_folder(self, expect_scene_refused: Refused, tmp_path: Path) -> None:
        expect_scene_refused(
            tmp_path, match="a folder of scenes needs a folder of results: give one, such as -o results/"
        )

    @pytest.mark.parametrize("content", [b"", b"id,name\n1,a\n", b"II*\0" + bytes(40)])
    def test_no_raster(self, expect_scene_refused: Refused, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "scene.tif"
        path.write_bytes(content)
        expect_scene_refused(path, match="is no raster that GDAL can open .*gdalinfo .* tells more")

    @pytest.mark.parametrize("keep", [0.97, 0.5])
    def test_truncated(
        self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks, keep: float
    ) -> None:
        path = make_raster(blocks(256, 256), photometric="rgb", tiled=True, blockxsize=64, blockysize=64)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        expect_scene_refused(
            path, match=r"cannot be read in the block of rows \d+-\d+.*cut off; copy or create it again"
        )

    def test_truncated_png(self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks) -> None:
        path = make_raster(blocks(200, 200), "scene.png", driver="PNG")
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        expect_scene_refused(path, match="cannot be read in .*cut off; copy or create it again")

    def test_vrt_whose_source_is_gone(self, expect_scene_refused: Refused, scene: Path) -> None:
        vrt = scene.with_suffix(".vrt")
        rasterio.shutil.copy(scene, vrt, driver="VRT")
        scene.unlink()
        expect_scene_refused(vrt, match="cannot be read in .*or one that it refers to")

    @pytest.mark.parametrize(("bands", "named"), [(1, "1 band"), (2, "2 bands")])
    def test_too_few_bands(
        self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks, bands: int, named: str
    ) -> None:
        path = make_raster(blocks(40, 50, bands=bands), photometric="minisblack")
        expect_scene_refused(path, match=rf"has {named} \(.*needs red, green, blue: pass --bands")

    def test_bands_of_other_names(self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks) -> None:
        path = make_raster(blocks(40, 50), names=("nir", "red", "green"), photometric="minisblack")
        expect_scene_refused(path, match=r"has 3 bands \(nir, red, green\); model 'tiny' needs .*: pass --bands")

    def test_more_bands_without_names(
        self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks
    ) -> None:
        path = make_raster(blocks(40, 50, bands=4), photometric="minisblack", alpha="unspecified")
        expect_scene_refused(path, match=r"has 4 bands \(1, 2, 3, 4\); model 'tiny' needs .*: pass --bands")

    def test_another_data_type(self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks) -> None:
        path = make_raster(blocks(40, 50).astype("uint16"), photometric="rgb")
        expect_scene_refused(
            path, match="reads uint8, the scene is uint16: pass --rescale LOW,HIGH .* or --rescale 2%,98%"
        )

    def test_palette(self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks) -> None:
        path = make_raster(blocks(40, 50, bands=1))
        with rasterio.open(path, "r+") as dst:
            dst.write_colormap(1, {1: (255, 0, 0)})
        for options in ([], ["--bands", "1,1,1"]):
            expect_scene_refused(path, *options, match="has a palette, .*expand it: gdal_translate -expand rgb")

    def test_complex(self, expect_scene_refused: Refused, make_raster: MakeRaster) -> None:
        path = make_raster(np.ones((3, 40, 50), "complex64"))
        expect_scene_refused(path, match="has complex pixels .*write its amplitude: gdal_translate")

    def test_placed_by_ground_control_points(
        self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks
    ) -> None:
        corners = [(0, 0), (0, 50), (40, 0), (40, 50)]
        points = [GroundControlPoint(row=row, col=col, x=500 + col, y=900 - row) for row, col in corners]
        path = make_raster(blocks(40, 50), photometric="rgb", transform=None, gcps=points)
        expect_scene_refused(path, match="placed by 4 ground control points only .*warp it first: gdalwarp -tps")

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_no_valid_pixel(self, expect_scene_refused: Refused, make_raster: MakeRaster, dtype: str) -> None:
        path = make_raster(np.zeros((3, 150, 200), dtype), photometric="rgb", nodata=0)
        limits = [] if dtype == "uint8" else ["--rescale", "0,3000"]
        expect_scene_refused(path, *limits, match="has no valid pixel in these bands: check its nodata value")

    def test_no_valid_pixel_to_take_percentiles_of(
        self, expect_scene_refused: Refused, make_raster: MakeRaster
    ) -> None:
        path = make_raster(np.full((3, 40, 50), np.nan, "float32"), photometric="rgb")
        expect_scene_refused(path, "--rescale", "2%,98%", match="no valid pixel was found .*: check its nodata value")

    def test_a_warning_may_come_first(
        self, expect_scene_refused: Refused, make_raster: MakeRaster, blocks: Blocks
    ) -> None:
        path = make_raster(blocks(40, 50, bands=1), crs=None, transform=None)
        expect_scene_refused(path, match="needs red, green, blue")


class TestOptions:
    """Values out of range, and names that nobody knows."""

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            (["--overlap", 65], r"at most half the tile size \(64\), not 65: choose"),
            (["--overlap", 128], r"at most half the tile size \(64\), not 128"),
            (["--overlap", -1], "overlap is at least 0 .*not -1"),
            (["--tile-size", 0], "at least 32 pixels a side, not 0: choose a larger"),
            (["--tile-size", 1, "--overlap", 0], "at least 32 pixels a side, not 1: choose a larger"),
            (["--tile-size", 8, "--overlap", 0], "at least 32 pixels a side, not 8: choose a larger"),
            (["--tile-size", 32, "--overlap", 32], r"at most half the tile size \(16\), not 32"),
            (["--tile-size", 10**12], r"a tile has 1 to 8192 pixels along each axis, not 1000000000000: try 512"),
            (["--batch-size", 0], "a batch has at least one tile, not 0: choose"),
            (["--batch-size", -4], "a batch has at least one tile, not -4"),
            (["--rescale", "3"], "rescale is two values .*not '3': try 0,3000 or 2%,98%"),
            (["--rescale", "low,high"], "rescale is two values or two percentiles, not '.*': try"),
            (["--rescale", "0,1,2"], "rescale is two values or two percentiles, not '.*': try"),
            (["--rescale", ""], "rescale is two values or two percentiles, not '.*': try"),
            (["--rescale", "9,1"], "LOW below HIGH, not 9,1: give the lower one first"),
            (["--rescale", "1,1"], "LOW below HIGH, not 1,1"),
            (["--rescale", "nan,1"], "two finite values or two percentiles, not 'nan,1'"),
            (["--rescale", "0,inf"], "two finite values or two percentiles"),
            (["--rescale", "2%,98"], "two finite values or two percentiles, not '2%,98'"),
            (["--rescale", "0%,101%"], "percentiles lie within 0 and 100, not 0%,101%: try"),
            (["--bands", "red,green"], "reads 3 bands .*--bands names 2: name one for each"),
            (["--bands", "red,green,nir"], "has no band 'nir', it has 3 bands: .*choose among them"),
            (["--bands", "1,2,4"], "has no band '4'"),
            (["--bands", "0,1,2"], "has no band '0'"),
            (["--bands", "red,,blue"], "has no band ''"),
            (["--device", "abacus"], "no device is called 'abacus': use auto, cpu"),
            (["--device", "meta"], "no usable device 'meta': use auto or cpu"),
            (["--device", "cuda:99"], "no usable device 'cuda:99': use auto or cpu"),
        ],
    )
    def test_out_of_range(
        self, expect_refused: Refused, segment_args: list[object], options: list[object], match: str
    ) -> None:
        expect_refused(*segment_args, *options, match=match)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            (["--blend", "cubic"], "'cubic' is not one of 'hann', 'linear', 'none': see geodeeplab segment --help"),
            (["--precision", "int4"], "'int4' is not one of"),
            (["--tile-size", "big"], "'big' is not a valid integer"),
            (["--tilesize", "64"], "No such option.*--tilesize"),
            (["--tta", "d5"], "'d5' is not one of 'none', 'flips', 'd4'"),
            (["--probability-dtype", "float32"], "'float32' is not one of 'uint8', 'float16'"),
            (["--min-confidence", "half"], "'half' is not a valid float"),
            (["--overlap"], "requires an argument: see geodeeplab --help"),
        ],
    )
    def test_bad_usage(
        self, expect_refused: Refused, segment_args: list[object], options: list[object], match: str
    ) -> None:
        expect_refused(*segment_args, *options, match=match, status=2)

    def test_bad_usage_elsewhere(self, expect_refused: Refused) -> None:
        expect_refused("segment", match="Missing argument 'SCENE...': see geodeeplab segment --help", status=2)
        expect_refused("segmnet", match="No such command 'segmnet'.*see geodeeplab --help", status=2)
        expect_refused("vectorize", "a.tif", match="Missing option '-o'", status=2)
        expect_refused("vectorize", "a.tif", "-o", "a.gpkg", "--band", "0", match="0 is not in the range", status=2)


class TestModels:
    """Models that are not there, broken, or for other scenes."""

    def test_unknown(self, expect_refused: Refused, segment_args: list[object]) -> None:
        expect_refused(
            *segment_args,
            "--model",
            "landcover-lunar",
            match=r"called 'landcover-lunar': choose one of buildings-aerial, landcover-aerial, landcover-satellite",
        )

    def test_a_folder(self, expect_refused: Refused, segment_args: list[object], tmp_path: Path) -> None:
        expect_refused(*segment_args, "--model", tmp_path, match="no bundled model and no file is called")

    @pytest.mark.parametrize("keep", [0, 5, 3_000, 1_000_000])
    def test_cut_off(
        self, expect_refused: Refused, segment_args: list[object], tiny_model: Path, tmp_path: Path, keep: int
    ) -> None:
        path = tmp_path / "cut.safetensors"
        path.write_bytes(tiny_model.read_bytes()[:keep])
        expect_refused(
            *segment_args, "--model", path, match="cut.safetensors is not a readable safetensors file .*again"
        )

    def test_another_file(self, expect_refused: Refused, segment_args: list[object], scene: Path) -> None:
        expect_refused(*segment_args, "--model", scene, match="not a readable safetensors file")

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            (
                {"architecture": {"magic": True}},
                "the architecture has no key 'magic': the keys are .*: save",
            ),
            ({"architecture": {"backbone": "vgg17"}}, "cannot be built .*'vgg17': choose one of"),
            ({"architecture": {"aspp_channels": 17}}, "weights in .* do not fit the architecture"),
            ({"architecture": {"num_classes": 9}}, "gives 9 classes, the contract 3"),
            ({"format_version": 99}, "format 1, not 99: install the version"),
            ({"bands": [{"name": "red"}]}, "contract is not readable"),
            ({"tile_size": "large"}, "tile_size is a whole number, not 'large'"),
            (None, "no GeoDeepLab contract: save it with"),
        ],
    )
    def test_contracts(
        self,
        expect_refused: Refused,
        segment_args: list[object],
        tiny_model: Path,
        tmp_path: Path,
        changes: dict[str, object] | None,
        match: str,
    ) -> None:
        from geodeeplab.models import read_contract

        values = json.loads(read_contract(tiny_model).to_json())
        for key, value in (changes or {}).items():
            values[key] = values[key] | value if isinstance(value, dict) else value
        path = tmp_path / "changed.safetensors"
        save_file(load_file(tiny_model), path, metadata={"geodeeplab": json.dumps(values)} if changes else {"a": "b"})
        expect_refused(*segment_args, "--model", path, match=rf"(?=.*changed.safetensors).*{match}")


class TestOutputs:
    """Outputs that cannot be, each known before any work."""

    def test_none_asked_for(self, expect_refused: Refused, scene: Path, tiny_model: Path) -> None:
        expect_refused(
            "segment",
            scene,
            "--model",
            tiny_model,
            match="nothing to write: give an output, --polygons, --label-raster or",
        )

    def test_folder_that_does_not_exist(self, expect_refused: Refused, segment_args: list[object], out: Path) -> None:
        expect_refused(
            *segment_args, "-o", out / "new" / "a.gpkg", match="folder .*new does not exist: create it first"
        )
        expect_refused(*segment_args, "--label-raster", out / "new" / "a.tif", match="folder .*new does not exist")

    @pytest.mark.parametrize(
        ("option", "name", "known"),
        [
            ("-o", "a.shp", ".gpkg"),
            ("-o", "a", ".gpkg"),
            ("-o", "a.tif", ".gpkg"),
            ("--label-raster", "a.png", ".tif or .tiff"),
            ("--confidence", "a.gpkg", ".tif or .tiff"),
        ],
    )
    def test_unknown_suffix(
        self, expect_refused: Refused, segment_args: list[object], out: Path, option: str, name: str, known: str
    ) -> None:
        expect_refused(*segment_args, option, out / name, match=f"which nobody here writes: use {known}")

    @pytest.mark.parametrize("option", ["-o", "--label-raster", "--confidence"])
    def test_exists(self, expect_refused: Refused, segment_args: list[object], out: Path, option: str) -> None:
        taken = out / ("taken.gpkg" if option == "-o" else "taken.tif")
        taken.write_text("dear to someone")
        expect_refused(*segment_args, option, taken, match="exists: pass --overwrite")

    def test_a_folder(self, expect_refused: Refused, segment_args: list[object], out: Path) -> None:
        (out / "a.gpkg").mkdir()
        expect_refused(*segment_args, "-o", out / "a.gpkg", "--overwrite", match="is a folder: give the path of a file")

    def test_the_scene_itself(self, expect_refused: Refused, segment_args: list[object], scene: Path) -> None:
        before = scene.read_bytes()
        expect_refused(
            *segment_args, "--label-raster", scene, "--overwrite", match="also an input, which is never overwritten"
        )
        assert scene.read_bytes() == before

    def test_two_of_one_name(self, expect_refused: Refused, segment_args: list[object], out: Path) -> None:
        same = out / "a.tif"
        expect_refused(
            *segment_args, "--label-raster", same, "--confidence", same, match="two outputs have the same path"
        )
