"""Each option of `segment` through the command line, with what it promises."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import geometry_mask
from rasterio.windows import Window

Blocks = Callable[..., np.ndarray]
MakeRaster = Callable[..., Path]
Run = Callable[..., Any]
Refused = Callable[..., None]
LabelsOf = Callable[..., np.ndarray]


def read(path: Path) -> np.ndarray:
    """Read all bands: (C, H, W), or (H, W) of one."""
    with rasterio.open(path) as src:
        pixels: np.ndarray = src.read()
    return pixels[0] if len(pixels) == 1 else pixels


def classes_of(path: Path) -> set[tuple[int, str]]:
    """Give ids and names of the classes that polygons have."""
    _, _, _, fields = pyogrio.raw.read(path, columns=["class_id", "class_name"], layer="landcover")
    return set(zip(fields[0].tolist(), fields[1].tolist(), strict=True))


def copy_window(src_path: Path, dst_path: Path, window: Window) -> Path:
    """Write a part of a raster to a file of its own."""
    with rasterio.open(src_path) as src:
        profile = src.profile | {
            "height": window.height,
            "width": window.width,
            "transform": src.window_transform(window),
        }
        with rasterio.open(dst_path, "w", **profile) as dst:
            dst.write(src.read(window=window))
            dst.colorinterp = src.colorinterp
    return dst_path


@pytest.fixture
def labels_of(run: Run, tiny_model: Path, out: Path) -> LabelsOf:
    """Give a function that segments scenes with options and reads the labels."""

    def segment(*argv: object, name: str = "labels") -> np.ndarray:
        path = out / f"{name}.tif"
        ran = run("segment", *argv, "--label-raster", path, "--model", tiny_model, "--overwrite")
        assert (ran.status, ran.err) == (0, "")
        return read(path)

    return segment


class TestWhere:
    """--aoi, --gsd-m, --grid-crs."""

    @pytest.fixture
    def triangle(self, scene: Path, tmp_path: Path) -> Path:
        """An area of interest over the scene and beyond it, in degrees."""
        corners = shapely.Polygon([(499_990, 4_999_860.3), (500_120.4, 4_999_990), (500_171, 4_999_830)])
        wkb = shapely.to_wkb(np.array([corners], dtype=object))
        path = tmp_path / "area.gpkg"
        pyogrio.raw.write(path, wkb, field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:32633")
        return path

    def test_aoi_limits_labels_and_changes_none(
        self, run: Run, labels_of: LabelsOf, scene: Path, triangle: Path, out: Path
    ) -> None:
        everywhere = labels_of(scene, "--tile-size", 64, "--overlap", 16, "--confidence", out / "c.tif")
        confidence = read(out / "c.tif")
        argv = ["--aoi", triangle, "--tile-size", 64, "--overlap", 16, "--confidence", out / "c.tif"]
        labels = labels_of(scene, *argv, "-o", out / "a.gpkg", name="aoi")
        geometry = shapely.from_wkb(pyogrio.raw.read(triangle)[2])[0]
        with rasterio.open(scene) as src:
            outside = geometry_mask([geometry], src.shape, src.transform)  # by pixel centres, as we do
        assert 0.2 < outside.mean() < 0.8
        np.testing.assert_array_equal(labels, np.where(outside, 0, everywhere))
        np.testing.assert_array_equal(read(out / "c.tif"), np.where(outside, 255, confidence))
        _, _, polygons, _ = pyogrio.raw.read(out / "a.gpkg", layer="landcover")
        assert shapely.area(shapely.from_wkb(polygons)).sum() == (~outside).sum()
        facts = json.loads(run("segment", scene, *argv, "--label-raster", out / "b.tif", "--json", "--overwrite").out)
        assert facts["tiles"]["skipped"] > 0, "tiles without a pixel in the area cost nothing"

    @pytest.mark.slow
    def test_masks(
        self, run: Run, labels_of: LabelsOf, expect_refused: Refused, segment_args: list[object], scene: Path
    ) -> None:
        with rasterio.open(scene) as src:
            rows, cols = np.mgrid[: src.height, : src.width]
            profile = src.profile | {"count": 1, "photometric": "minisblack"}
        for name, values in (("clouds", rows % 40 < 9), ("qa", np.where(cols % 50 < 7, 8, 4))):
            with rasterio.open(scene.parent / f"{name}.tif", "w", **profile) as dst:
                dst.write(values.astype(np.uint8), 1)
        clouds, qa = scene.parent / "clouds.tif", f"{scene.parent / 'qa.tif'}:bit3"
        labels = labels_of(scene, "--mask", clouds, "--mask", qa)
        np.testing.assert_array_equal(labels == 0, (rows % 40 < 9) | (cols % 50 < 7))
        assert f"unless mask {qa} hides it" in run("info", scene, "--mask", qa).out
        expect_refused(*segment_args, "--mask", scene.parent / "none.tif", match=r"mask .*none\.tif' does not exist")
        expect_refused(*segment_args, "--mask", clouds, "--label-raster", clouds, "--overwrite", match="also an input")

    def test_crop(self, run: Run, scene: Path, tmp_path: Path, tiny_model: Path) -> None:
        small = tmp_path / "small.gpkg"
        wkb = shapely.to_wkb(np.array([shapely.box(500_040, 4_999_940, 500_050, 4_999_950)], dtype=object))
        pyogrio.raw.write(small, wkb, field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:32633")
        argv = ["segment", scene, "--model", tiny_model, "--aoi", small, "--label-raster", tmp_path / "small.tif"]
        assert "cropped to the area of interest, 10 × 10 px from column 40, row 50" in (told := run(*argv).err)
        assert "(--no-crop for all of it)" in told
        assert "cropped" not in run(*argv, "--no-crop", "--overwrite").err
        assert read(tmp_path / "small.tif").shape == read(scene).shape[1:]
        assert "10 × 10 px" in run("info", scene, "--model", tiny_model, "--aoi", small).out

    def test_aoi_beside_the_scene(
        self, expect_refused: Refused, segment_args: list[object], triangle: Path, tmp_path: Path
    ) -> None:
        far = tmp_path / "far.gpkg"
        wkb = shapely.to_wkb(np.array([shapely.box(1, 1, 2, 2)], dtype=object))
        pyogrio.raw.write(far, wkb, field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:32633")
        expect_refused(*segment_args, "--aoi", far, match="no pixel within the area of interest")
        expect_refused(*segment_args, "--aoi", tmp_path / "none.gpkg", match="area of interest .*none.gpkg")

    def test_gsd_m_in_metres(
        self, run: Run, labels_of: LabelsOf, scene: Path, make_raster: MakeRaster, tiny_model: Path, out: Path
    ) -> None:
        labels = labels_of(scene)
        pixels = read(scene).repeat(2, axis=1).repeat(2, axis=2)
        transform = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
        fine = make_raster(pixels, "fine.tif", photometric="rgb", transform=transform)
        argv = ["segment", fine, "--label-raster", out / "fine.tif", "-o", out / "fine.gpkg", "--model", tiny_model]
        ran = run(*argv, "--gsd-m", "1")
        assert (ran.status, ran.err) == (0, "")
        assert "the scene's pixels of 0.5 m are scaled to " in ran.out
        np.testing.assert_array_equal(read(out / "fine.tif"), labels.repeat(2, axis=0).repeat(2, axis=1))
        with rasterio.open(out / "fine.tif") as src:
            assert src.transform.almost_equals(transform)
        native = json.loads(run(*argv, "--gsd-m", "native", "--overwrite", "--json").out)
        assert (native["gsd_m"], native["notes"]) == (None, [])
        assert (read(out / "fine.tif") != labels.repeat(2, axis=0).repeat(2, axis=1)).any(), "it saw other pixels"

    def test_grid_crs(
        self, run: Run, make_raster: MakeRaster, blocks: Blocks, labels_of: LabelsOf, tiny_model: Path, out: Path
    ) -> None:
        image = blocks(150, 200)
        image[:, 40:90, 60:120] = 0
        scene = make_raster(image, "holed.tif", photometric="rgb", nodata=0)
        is_void = labels_of(scene) == 0
        places = ["--label-raster", out / "warped.tif", "-o", out / "warped.gpkg"]
        ran = run("segment", scene, *places, "--model", tiny_model, "--grid-crs", "EPSG:3857")
        assert (ran.status, ran.err) == (0, "")
        with rasterio.open(out / "warped.tif") as src:
            assert src.crs.to_epsg() == 3857
            warped = src.read(1)
            rows, cols = np.indices(is_void.shape)
            with rasterio.open(scene) as flat:
                xs, ys = rasterio.transform.xy(flat.transform, rows.ravel(), cols.ravel())
                there = rasterio.warp.transform(flat.crs, src.crs, xs, ys)
            at = np.array([~src.transform @ point for point in zip(*there, strict=True)]).astype(int)
        found = warped[at[:, 1].clip(0, warped.shape[0] - 1), at[:, 0].clip(0, warped.shape[1] - 1)] == 0
        assert is_void.mean() == pytest.approx(0.1)
        assert (found == is_void.ravel()).mean() > 0.97, "the hole stays where it is, but for its edge"
        assert pyogrio.read_info(out / "warped.gpkg", layer="landcover")["crs"] == "EPSG:3857"
        _, _, _, fields = pyogrio.raw.read(out / "warped.gpkg", columns=["area_m2"], layer="landcover")
        assert fields[0].sum() == pytest.approx(150 * 200 - 50 * 60, rel=0.02), "square metres on the ground"


class TestWhat:
    """--classes, --min-confidence, --other, --probabilities, --probability-dtype."""

    def test_classes_that_are_not_kept_are_nodata(self, labels_of: LabelsOf, scene: Path, out: Path) -> None:
        every = labels_of(scene)
        labels = labels_of(scene, "--classes", "roof, field", "-o", out / "a.gpkg", name="some")
        np.testing.assert_array_equal(labels, np.where(every == 2, 0, every))
        assert classes_of(out / "a.gpkg") == {(1, "field"), (3, "roof")}

    def test_or_a_class_of_their_own(self, labels_of: LabelsOf, scene: Path, out: Path) -> None:
        every = labels_of(scene)
        labels = labels_of(scene, "--classes", "wood", "--other", "-o", out / "a.gpkg", name="other")
        np.testing.assert_array_equal(labels, np.where(every == 2, 2, 4))
        assert classes_of(out / "a.gpkg") == {(2, "wood"), (4, "other")}
        assert "<Category>other</Category>" in (out / "other.tif.aux.xml").read_text()

    def test_min_confidence(self, labels_of: LabelsOf, scene: Path, out: Path) -> None:
        every = labels_of(scene, "--confidence", out / "c.tif")
        confidence = read(out / "c.tif")  # of 100, rounded
        labels = labels_of(scene, "--min-confidence", 0.6, name="sure")
        assert 0.05 < (labels == 0).mean() < 0.95
        np.testing.assert_array_equal(labels[confidence > 60], every[confidence > 60])
        assert not labels[confidence < 60].any()
        other = labels_of(scene, "--min-confidence", 0.6, "--other", name="other")
        np.testing.assert_array_equal(other, np.where(labels == 0, 4, labels))

    def test_probabilities(
        self, labels_of: LabelsOf, run: Run, make_raster: MakeRaster, blocks: Blocks, out: Path
    ) -> None:
        image = blocks(150, 200)
        image[:, 40:60, 50:90] = 0
        scene = make_raster(image, "holes.tif", photometric="rgb", nodata=0)
        argv = ["--probabilities", out / "p.tif", "--confidence", out / "c.tif"]
        labels = labels_of(scene, *argv)
        probabilities, valid = read(out / "p.tif").astype(int), labels != 0
        assert (probabilities[:, ~valid] == 255).all()
        totals, ordered = probabilities.sum(axis=0)[valid], np.sort(probabilities, axis=0)
        assert np.abs(totals - 100).max() <= 1  # three roundings
        clear = valid & (ordered[-1] > ordered[-2])
        assert clear.mean() > 0.8
        np.testing.assert_array_equal(probabilities.argmax(axis=0)[clear] + 1, labels[clear])
        np.testing.assert_array_equal(probabilities.max(axis=0), read(out / "c.tif"))
        with rasterio.open(out / "p.tif") as src:
            assert (src.descriptions, src.dtypes, src.nodata) == (("field", "wood", "roof"), ("uint8",) * 3, 255)
        np.testing.assert_array_equal(
            labels_of(scene, "--probabilities", out / "h.tif", "--probability-dtype", "float16"), labels
        )
        halves = read(out / "h.tif")
        assert np.isnan(halves[:, ~valid]).all()
        assert np.abs(halves[:, valid].sum(axis=0) - 1).max() < 2e-3
        assert np.abs(100 * halves - probabilities)[:, valid].max() <= 0.55  # half an integer, and the halves' own

    def test_refusals(self, expect_refused: Refused, segment_args: list[object], out: Path) -> None:
        for options, match in (
            (["--classes", "wood,sea"], "tells apart field, wood, roof, not 'sea': choose classes among them"),
            (["--classes", ""], "tells apart field, wood, roof, not ''"),
            (["--min-confidence", 60], "a probability from 0 to 1, not 60: try 0.5"),
            (["--min-confidence", "nan"], "a probability from 0 to 1, not nan: try 0.5"),
            (["--other"], "`other` needs something that it stands for: pass --classes or --min-confidence"),
            (["--min-confidence", 1], "has no pixel with these classes and this confidence: ask for less"),
            (["--gsd-m", "fine"], "native, model or a distance in metres above 0, not 'fine': try 0.5"),
            (["--gsd-m", "-1"], "native, model or a distance in metres above 0, not '-1': try 0.5"),
            (["--gsd-m", "nan"], "native, model or a distance in metres above 0, not 'nan': try 0.5"),
            (["--gsd-m", "model"], "'tiny' does not say its ground sample distance: give metres instead"),
            (["--grid-crs", "the moon's"], "'the moon's' is no CRS .*: give e.g. EPSG:32633"),
            (["--contract", out / "none.json"], "none.json' cannot be read .*give the path of a contract"),
            (["--probabilities", out / "p.gpkg"], "which nobody here writes: use .tif or .tiff"),
        ):
            expect_refused(*segment_args, *options, match=match)


class TestHow:
    """--tile-size alone, --tta, --compile, --contract."""

    def test_a_small_tile_size_takes_the_overlap_along(self, run: Run, segment_args: list[object]) -> None:
        facts = json.loads(run(*segment_args, "--tile-size", 48, "--json").out)
        assert (facts["tile_size"], facts["overlap"]) == (48, 24)

    @pytest.mark.slow
    def test_tta_is_blind_to_flips(
        self, labels_of: LabelsOf, make_raster: MakeRaster, blocks: Blocks, run: Run, segment_args: list[object]
    ) -> None:
        image = blocks(128, 128)  # one tile, so that the lattice is symmetric
        scene = make_raster(image, photometric="rgb")
        mirrored = make_raster(np.ascontiguousarray(image[:, ::-1, ::-1]), "mirrored.tif", photometric="rgb")
        plain, averaged = (labels_of(scene, "--tta", tta, "--precision", "fp32") for tta in ("none", "flips"))
        again = labels_of(mirrored, "--tta", "flips", "--precision", "fp32")[::-1, ::-1]
        assert (averaged == again).mean() > 0.999  # sums in another order
        assert (plain != averaged).mean() > 0.001
        assert json.loads(run(*segment_args, "--tta", "d4", "--json").out)["tta"] == "d4"

    def test_a_foreign_onnx_file_with_a_contract(
        self, run: Run, scene: Path, tiny_model: Path, out: Path, tmp_path: Path
    ) -> None:
        onnx = pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
        helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
        sides = ["N", 3, "H", "W"]
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "largest-band",
            [helper.make_tensor_value_info("x", float32, sides)],
            [helper.make_tensor_value_info("y", float32, sides)],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.save(proto, tmp_path / "largest.onnx")
        classes = [{"id": 10 * i, "name": f"c{i}", "color": [i, i, i]} for i in (1, 2, 3)]
        bands = [{"name": name, "mean": 100, "std": 50} for name in ("red", "green", "blue")]
        contract = tmp_path / "largest.json"
        contract.write_text(json.dumps({"name": "largest", "classes": classes, "bands": bands, "tile_size": 64}))
        argv = ["segment", scene, "--label-raster", out / "a.tif", "--model", tmp_path / "largest.onnx"]
        refused = run(*argv)
        assert refused.status == 1
        assert "carries no GeoDeepLab contract: " in refused.err
        second = run(*argv, "--model", tiny_model, "--contract", contract)
        assert "tiny.safetensors carries its own contract: leave out the other one" in second.err
        ran = run(*argv, "--contract", contract)
        assert (ran.status, ran.err) == (0, "")
        pixels, labels = read(scene), read(out / "a.tif")
        first, second = np.sort(pixels, axis=0)[[-1, -2]]
        clear = first != second
        np.testing.assert_array_equal(labels[clear], 10 * (pixels.argmax(axis=0)[clear] + 1))

    @pytest.mark.slow
    @pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
    def test_compiled_is_the_same_network(
        self, labels_of: LabelsOf, run: Run, scene: Path, tiny_model: Path, out: Path
    ) -> None:
        plain = labels_of(scene, "--precision", "fp32")
        argv = ["segment", scene, "--label-raster", out / "compiled.tif", "--model", tiny_model, "--precision", "fp32"]
        ran = run(*argv, "--compile", "--json")
        assert ran.status == 0  # torch may have words of its own on stderr
        assert json.loads(ran.out)["compiled"] is True
        assert (plain == read(out / "compiled.tif")).mean() > 0.999


class TestScenes:
    """Several files as one scene, STAC items."""

    @pytest.mark.parametrize("at", [(0, 77), pytest.param((61, 0), marks=pytest.mark.slow)])
    def test_two_halves_are_the_whole_bit_for_bit(
        self,
        labels_of: LabelsOf,
        run: Run,
        scene: Path,
        tiny_model: Path,
        out: Path,
        tmp_path: Path,
        at: tuple[int, int],
    ) -> None:
        row, col = at
        windows = [Window(0, 0, col or 200, row or 150), Window(col, row, 200 - col, 150 - row)]
        halves = [copy_window(scene, tmp_path / f"half-{i}.tif", window) for i, window in enumerate(windows)]
        argv = ["--tile-size", 64, "--overlap", 16]
        whole = labels_of(scene, *argv, "--confidence", out / "c.tif", "-o", out / "a.gpkg")
        for order in (halves, halves[::-1]):
            name = f"mosaic-{order[0].stem}"
            more = ["--confidence", out / f"{name}-c.tif", "-o", out / f"{name}.gpkg"]
            np.testing.assert_array_equal(labels_of(*order, *argv, *more, name=name), whole)
            np.testing.assert_array_equal(read(out / f"{name}-c.tif"), read(out / "c.tif"))
            first, second = (
                pyogrio.raw.read(path, layer="landcover")[2:] for path in (out / "a.gpkg", out / f"{name}.gpkg")
            )
            assert list(first[0]) == list(second[0])
            assert all(list(a) == list(b) for a, b in zip(first[1], second[1], strict=True))

    @pytest.mark.slow
    def test_an_earlier_scene_lies_on_top(
        self, labels_of: LabelsOf, make_raster: MakeRaster, blocks: Blocks, scene: Path
    ) -> None:
        other = make_raster(blocks(150, 200, seed=7), "other.tif", photometric="rgb")
        np.testing.assert_array_equal(labels_of(scene, other), labels_of(scene, name="top"))
        np.testing.assert_array_equal(labels_of(other, scene), labels_of(other, name="other"))

    def test_scenes_that_do_not_fit(
        self, expect_refused: Refused, segment_args: list[object], make_raster: MakeRaster, blocks: Blocks
    ) -> None:
        askew = make_raster(
            blocks(50, 60), "askew.tif", photometric="rgb", transform=Affine(2, 0, 500_200, 0, -2, 5_000_000)
        )
        expect_refused(*segment_args, askew, match=r"(?=.*askew.tif).*--gsd-m")
        expect_refused(*segment_args, "more.tif", match="'more.tif' does not exist: check the path")

    def test_a_stac_item(self, labels_of: LabelsOf, scene: Path, make_raster: MakeRaster, tmp_path: Path) -> None:
        pixels = read(scene)
        for name, band in zip(("B04", "B03", "B02"), pixels, strict=True):
            make_raster(band[None], f"{name}.tif")
        assets = {
            name: {
                "href": f"./{name}.tif",
                "type": "image/tiff",
                "roles": ["data"],
                "eo:bands": [{"common_name": color}],
            }
            for name, color in (("B02", "blue"), ("B03", "green"), ("B04", "red"))
        }
        item = {"type": "Feature", "stac_version": "1.0.0", "id": "one", "properties": {}, "assets": assets}
        (tmp_path / "item.json").write_text(json.dumps(item))
        np.testing.assert_array_equal(labels_of(tmp_path / "item.json"), labels_of(scene, name="plain"))


class TestResume:
    @pytest.mark.slow
    def test_with_many_options_at_once(
        self, run: Run, scene: Path, tiny_model: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from geodeeplab.raster import BlockSpool

        area = tmp_path / "area.geojson"
        ring = [[15.0, 45.1531], [15.0, 45.1519], [15.0024, 45.1519], [15.0, 45.1531]]
        area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        halves = [
            copy_window(scene, tmp_path / "left.tif", Window(0, 0, 90, 150)),
            copy_window(scene, tmp_path / "right.tif", Window(90, 0, 110, 150)),
        ]
        options: list[object] = ["--gsd-m", 0.8, "--aoi", area, "--tta", "flips", "--classes", "wood,roof", "--other"]
        options += [
            "--min-confidence",
            0.45,
            "--tile-size",
            80,
            "--overlap",
            40,
            "--blend",
            "linear",
            "--batch-size",
            2,
        ]
        options += ["--probability-dtype", "float16"]

        def argv(folder: Path) -> list[object]:
            folder.mkdir(exist_ok=True)
            names = {"-o": "a.gpkg", "--label-raster": "a.tif", "--confidence": "c.tif", "--probabilities": "p.tif"}
            places = [one for option, name in names.items() for one in (option, folder / name)]
            return ["segment", *halves, *places, "--model", tiny_model, *options]

        assert run(*argv(out / "whole")).status == 0
        append, appended = BlockSpool.append, []

        def interrupt(spool: BlockSpool, block: Any) -> bool:  # noqa: ANN401 - whatever `append` takes
            appended.append(block)
            if len(appended) > 3:
                raise KeyboardInterrupt
            return append(spool, block)

        with monkeypatch.context() as patch:
            patch.setattr(BlockSpool, "append", interrupt)
            assert "pass --resume to go on" in run(*argv(out / "cut")).err
        ran = run(*argv(out / "cut"), "--resume", "--json")
        assert ran.status == 0
        assert 0 < json.loads(ran.out)["resumed_share"] < 1
        for name in ("a.tif", "c.tif", "p.tif"):
            pixels = read(out / "whole" / name)
            assert len(np.unique(pixels)) > 2
            np.testing.assert_array_equal(read(out / "cut" / name), pixels)
        first, second = (pyogrio.raw.read(out / name / "a.gpkg", layer="landcover")[2:] for name in ("whole", "cut"))
        assert list(first[0]) == list(second[0])
        assert len(first[0]) > 5
