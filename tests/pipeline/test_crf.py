"""`segment` with the CRF: what is fitted to tiles and scene, what is said, what is refused."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

import geodeeplab as gdl
from geodeeplab.errors import ContractError, GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.models import Contract, Model, ModelBand
from geodeeplab.models.crf import DenseCRF, Guide
from geodeeplab.pipeline.crf import choose_guide, fit_to_tiles, parse_crf
from geodeeplab.raster import open_scene

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
SMALL = DenseCRF(sxy=16, srgb=20)
"""What the tiny model's tiles of 128 pixels and their overlap of 32 have room for."""


def read_labels(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        labels: np.ndarray = src.read(1)
    return labels


class TestParameters:
    def test_what_is_not_named_keeps_its_default(self) -> None:
        assert parse_crf("w1=5, srgb = 10,iterations=3") == DenseCRF(w1=5, srgb=10, iterations=3)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "the CRF's parameters are w1, sxy, srgb, w2, sg, iterations, once each, not ''"),
            ("w3=1", "not 'w3': try w1=4,sxy=67"),
            ("w1=1,w1=2", "once each, not 'w1'"),
            ("w1", "w1 of the CRF is a number, not ''"),
            ("sxy=wide", "sxy of the CRF is a number, not 'wide'"),
            ("sxy=0", "sxy of the CRF lies within"),
            ("srgb=-3", "srgb of the CRF lies within"),
            ("iterations=1.5", "whole number of iterations"),
        ],
    )
    def test_refusals(self, text: str, match: str) -> None:
        with pytest.raises(OptionError, match=re.escape(match)):
            parse_crf(text)


class TestTiles:
    @pytest.mark.parametrize(
        ("sxy", "tile_size", "overlap", "expected"),
        [
            (67, 512, 134, (67, 134, None)),
            (67, 512, 200, (67, 200, None)),
            (67, 512, 128, (67, 134, "CRF: overlap raised from 128 to 134, twice sxy")),
            (66.7, 512, 128, (66.7, 134, "CRF: overlap raised from 128 to 134, twice sxy")),
            (67, 256, 128, (64, 128, "CRF: sxy reduced from 67 to 64, a quarter of the tile size")),
            (9, 33, 16, (8, 16, "CRF: sxy reduced from 9 to 8, a quarter of the tile size")),
        ],
    )
    def test_overlap_and_sxy(
        self, sxy: float, tile_size: int, overlap: int, expected: tuple[float, int, str | None]
    ) -> None:
        crf, enough, note = fit_to_tiles(DenseCRF(sxy=sxy), tile_size=tile_size, overlap=overlap)
        assert (crf.sxy, enough, note) == expected
        assert crf == replace(DenseCRF(), sxy=crf.sxy)

    def test_both_at_once(self) -> None:
        _, enough, note = fit_to_tiles(DenseCRF(), tile_size=128, overlap=32)
        assert (enough, note) == (
            64,
            "CRF: sxy reduced from 67 to 32, a quarter of the tile size, overlap raised from 32 to 64, twice sxy",
        )


class TestGuide:
    def contract(self, tiny: Model, bands: int, **changes: object) -> Contract:
        names = ("red", "green", "blue", "nir", "swir")[:bands]
        architecture = dict(tiny.contract.architecture) | {"in_channels": bands}
        described = tuple(ModelBand(name=name, mean=100.0, std=50.0) for name in names)
        return replace(tiny.contract, bands=described, architecture=architecture, **changes)  # type: ignore[arg-type]

    def test_up_to_three_bands_guide_as_they_are(self, make_raster: MakeRaster, blocks: Blocks, tiny: Model) -> None:
        image = blocks(20, 30)
        with open_scene(make_raster(image, photometric="rgb")) as scene:
            guide = choose_guide(scene, tiny.contract, limits=None, bands=None)
        np.testing.assert_array_equal(guide(image), image)

    def test_the_models_range_or_the_rescaling_becomes_black_to_white(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model
    ) -> None:
        image = blocks(20, 30).astype(np.uint16) * 10
        contract = self.contract(tiny, 3, dtype="uint16", value_range=(0.0, 2550.0))
        with open_scene(make_raster(image)) as scene:
            by_range = choose_guide(scene, contract, limits=None, bands=None)
            rescaled = choose_guide(scene, contract, limits=[(0, 5100)] * 3, bands=None)
        np.testing.assert_allclose(by_range(image), image / 10, rtol=1e-6)
        np.testing.assert_allclose(rescaled(image), image / 20, rtol=1e-6)

    def test_bands_are_chosen_among_those_read(self, make_raster: MakeRaster, blocks: Blocks, tiny: Model) -> None:
        image = blocks(20, 30, bands=5)
        path = make_raster(image, names=("swir", "red", "green", "blue", "nir"))
        with open_scene(path) as opened:
            scene = opened.select(["red", "green", "blue", "nir"])
            guide = choose_guide(scene, self.contract(tiny, 4), limits=None, bands=["NIR", 3])
            np.testing.assert_array_equal(guide(image[1:]), image[[4, 2]])
            with pytest.raises(ContractError, match=r"reads \(red, green, blue, nir\), not by swir"):
                choose_guide(scene, self.contract(tiny, 4), limits=None, bands=["red", "swir"])
            with pytest.raises(SceneError, match="no band 'thermal'"):
                choose_guide(scene, self.contract(tiny, 4), limits=None, bands=["thermal"])

    def test_more_bands_give_three_components_of_the_whole_scene(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model
    ) -> None:
        image = blocks(40, 60, bands=5)
        with open_scene(make_raster(image, names=("red", "green", "blue", "nir", "swir"))) as scene:
            guide = choose_guide(scene, self.contract(tiny, 5), limits=None, bands=None)
            again = choose_guide(scene, self.contract(tiny, 5), limits=None, bands=None)
        assert guide == again
        assert guide(image).shape == (3, 40, 60)
        json.dumps(guide.weights)

    def test_a_scene_without_data_has_no_components(self, make_raster: MakeRaster, tiny: Model) -> None:
        with (
            open_scene(make_raster(np.zeros((5, 20, 30), np.uint8), nodata=0)) as scene,
            pytest.raises(SceneError, match=r"no valid pixel .* principal components .* or name the CRF's bands"),
        ):
            choose_guide(scene, self.contract(tiny, 5), limits=None, bands=None)


class TestSegment:
    def test_the_crf_changes_labels_and_is_pinned(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(150, 200), photometric="rgb")
        without = gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny)
        done = gdl.segment(scene, label_raster=tmp_path / "b.tif", confidence=tmp_path / "c.tif", model=tiny, crf=SMALL)
        plain, refined = read_labels(tmp_path / "a.tif"), read_labels(tmp_path / "b.tif")
        assert 0.005 < (plain != refined).mean() < 0.5
        assert without.facts["crf"] is None
        facts = done.facts["crf"]
        assert DenseCRF(**{name: facts[name] for name in ("w1", "sxy", "srgb", "w2", "sg", "iterations")}) == SMALL
        assert facts["note"] is None
        assert Guide(**facts["guide"]) == Guide.of_bands([(0.0, 255.0)] * 3)
        with rasterio.open(tmp_path / "b.tif") as src:
            assert json.loads(src.tags()["GEODEEPLAB"])["crf"]["sxy"] == 16

    def test_the_default_says_what_it_had_to_change(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(150, 200), photometric="rgb")
        with pytest.warns(GeoDeepLabWarning, match="sxy reduced from 67 to 32, .* overlap raised from 32 to 64"):
            done = gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, crf=True)
        assert (done.facts["overlap"], done.facts["crf"]["sxy"]) == (64, 32)
        assert "overlap raised" in done.facts["crf"]["note"]

    def test_only_a_stated_overlap_that_is_raised_warns(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        scene, crf = make_raster(blocks(60, 70), photometric="rgb"), replace(SMALL, sxy=20)
        done = gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, crf=crf)
        assert done.facts["crf"]["note"] == "CRF: overlap raised from 32 to 40, twice sxy"
        with pytest.warns(GeoDeepLabWarning, match="overlap raised from 8 to 40"):
            gdl.segment(scene, label_raster=tmp_path / "b.tif", model=tiny, crf=crf, overlap=8)

    def test_nodata_stays_nodata(self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path) -> None:
        image = np.maximum(blocks(150, 200), 1)
        image[:, 20:60, 30:170] = 0
        scene = make_raster(image, photometric="rgb", nodata=0)
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, crf=SMALL)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif") == 0, image[0] == 0)

    def test_rescaled_scenes_give_the_labels_of_the_original(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
    ) -> None:
        image = blocks(60, 80)
        scaled = make_raster(image.astype(np.uint16) * 256, "scaled.tif", photometric="rgb")
        gdl.segment(make_raster(image, photometric="rgb"), label_raster=tmp_path / "a.tif", model=tiny, crf=SMALL)
        gdl.segment(scaled, label_raster=tmp_path / "b.tif", model=tiny, crf=SMALL, rescale=(0, 255 * 256))
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), read_labels(tmp_path / "b.tif"))

    def test_bands_for_the_crf_need_it(self, make_raster: MakeRaster, blocks: Blocks, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="need the CRF: pass `crf=True`, too"):
            gdl.segment(make_raster(blocks(20, 20)), label_raster=tmp_path / "a.tif", crf_bands=["red"])
