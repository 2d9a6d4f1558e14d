"""What is known before a run, against the run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import box

import geodeeplab as gdl
from geodeeplab.errors import OptionError, SceneError
from geodeeplab.models import Model
from geodeeplab.pipeline import executor
from geodeeplab.pipeline.info import coverage, forecast
from geodeeplab.pipeline.info.preflight import preflight, preflight_request
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import open_scene
from tests.examples import few

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]


@pytest.fixture
def holed(make_raster: MakeRaster, blocks: Blocks) -> Path:
    """A scene of 10 × 11 tiles of 64 px, much of it without data, by two areas of other shapes."""
    image = np.maximum(blocks(460, 540), 1)
    image[:, 100:300, 50:400] = 0
    image[:, 380:, :] = 0
    return make_raster(image, nodata=0, photometric="rgb", tiled=True, blockxsize=64, blockysize=64)


def small(scene: object, model: Model, **options: object) -> Request:
    return Request(**{"scene": scene, "model": model, "tile_size": 64, "overlap": 16, "batch_size": 4} | options)  # type: ignore[arg-type]


class TestTiles:
    @pytest.mark.parametrize("options", few([{"gsd_m": 0.8}, {}, {"gsd_m": 2.5}], 1))
    @pytest.mark.parametrize("has_aoi", [False, True])
    def test_are_those_of_the_run(
        self, holed: Path, tiny: Model, tmp_path: Path, options: dict[str, float], has_aoi: bool
    ) -> None:
        aoi = box(500_030, 4_999_500, 500_380, 4_999_980) if has_aoi else None
        found = preflight_request(small(holed, tiny, aoi=aoi, **options)).run
        keywords = {"tile_size": 64, "overlap": 16, "batch_size": 4, "aoi": aoi}
        run = gdl.segment(holed, label_raster=tmp_path / "a.tif", model=tiny, **keywords, **options).facts  # type: ignore[arg-type]
        assert found is not None
        assert found.is_count_exact
        assert found.empty_tiles > 0
        assert {"forwarded": found.tiles - found.empty_tiles, "skipped": found.empty_tiles} == run["tiles"]

    def test_a_scene_without_gaps_is_not_read(self, make_raster: MakeRaster, blocks: Blocks, tiny: Model) -> None:
        path = make_raster(blocks(300, 200), photometric="rgb")
        with open_scene(path) as scene:
            found = preflight_request(small(scene, tiny)).run
            scene.read  # noqa: B018  (it is still open)
        assert found is not None
        assert (found.tiles, found.empty_tiles, found.is_count_exact) == (6 * 4, 0, True)

    @pytest.mark.slow
    def test_a_sample_comes_near(self, holed: Path, tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        exact = preflight_request(small(holed, tiny)).run
        monkeypatch.setattr(coverage, "LOOK_BYTES", 3 * 14 * 128**2)  # 14 tiles with the blocks around them
        about = preflight_request(small(holed, tiny)).run
        assert exact is not None
        assert about is not None
        assert exact.is_count_exact
        assert not about.is_count_exact
        assert about.tiles == exact.tiles
        spread = exact.tiles * np.sqrt(0.25 / 14)  # one standard deviation of what 14 draws give, at most
        assert abs(about.empty_tiles - exact.empty_tiles) < 2.5 * spread
        assert about.empty_tiles > 0

    @pytest.mark.slow
    def test_wide_blocks_are_looked_at_whole(
        self, make_raster: MakeRaster, blocks: Blocks, tiny: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make_raster(np.maximum(blocks(640, 200), 1), nodata=0, photometric="rgb", blockysize=8)
        monkeypatch.setattr(coverage, "LOOK_BYTES", 1)
        found = preflight_request(small(path, tiny)).run
        assert found is not None
        assert (found.empty_tiles, found.is_count_exact) == (0, False)
        places: list[coverage._Place] = []

        def look(plan: object, drawn: list[coverage._Place]) -> tuple[list[tuple[int, int]], int, float]:
            places.extend(drawn)
            return [(0, 0)], 1, 0.0

        monkeypatch.setattr(coverage, "_sample", look)
        preflight_request(small(path, tiny))
        assert [list(place.cols) for place in places] == [[0, 1, 2, 3]] * coverage.LEAST_SAMPLES

    def test_outside_of_the_area(self, holed: Path, tiny: Model) -> None:
        found = preflight_request(small(holed, tiny, aoi=box(0, 0, 10, 10)))
        assert found.run is None
        assert "no pixel within the area of interest" in found.needs[0]


class TestForecast:
    @pytest.mark.slow
    def test_columns(self, holed: Path, tiny: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        one = preflight_request(small(holed, tiny)).run
        defaults = executor.InThisProcess.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "memory_limit", 1 << 18)
        many = preflight_request(small(holed, tiny)).run
        run = gdl.segment(
            holed, label_raster=tmp_path / "a.tif", model=tiny, tile_size=64, overlap=16, batch_size=4
        ).facts
        assert one is not None
        assert many is not None
        assert (one.columns, one.tiles_again) == (1, 0)
        assert many.columns == run["shards"] > 1
        assert many.tiles + many.tiles_again == sum(run["tiles"].values())

    @pytest.mark.slow
    def test_grows_with_what_is_asked_for(self, holed: Path, tiny: Model, tmp_path: Path) -> None:
        plain = preflight_request(small(holed, tiny), folder=tmp_path).run
        more = preflight_request(small(holed, tiny, with_confidence=True, probabilities="float16")).run
        assert plain is not None
        assert more is not None
        assert plain.raster_bytes < plain.raster_bytes_most
        assert more.raster_bytes_most == pytest.approx((1 + 1 + 3 * 2) * plain.raster_bytes_most, rel=1e-5)
        assert plain.disk_free_bytes > 0
        assert plain.seconds is not None
        assert plain.seconds > 0
        assert plain.device_bytes is None

    def test_of_a_rate_of_one(self, holed: Path, tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        timing = forecast._Timing(first_round_s=3.0, round_s=1.0, blend_s=0.25, device_bytes=None)
        monkeypatch.setattr(forecast, "_time_batch", lambda plan, batch: timing)
        found = preflight_request(small(holed, tiny)).run
        assert found is not None
        assert found.seconds is not None
        filled = found.tiles - found.empty_tiles
        expected = 2 + (np.ceil(filled / 4) * 1.0 + 0.25 * filled) / found.lanes
        assert found.seconds == pytest.approx(expected, abs=1.0)  # and what reading took
        assert found.mpx_per_s == pytest.approx(460 * 540 / 1e6 / found.seconds)


class TestPreflight:
    def test_is_in_the_facade_s_terms(self, holed: Path, tiny_model: Path, tmp_path: Path) -> None:
        found = preflight(holed, model=tiny_model, tile_size=64, overlap=16, tta="flips", folder=tmp_path)
        assert found.needs == ()
        assert found.model is not None
        assert found.model.scene_bands == (1, 2, 3)
        assert json.loads(found.to_json())["run"]["tiles"] == 11 * 10

    def test_an_array(self, blocks: Blocks, tiny: Model) -> None:
        with pytest.warns(gdl.GeoDeepLabWarning, match="no CRS"):
            found = preflight(blocks(100, 120), model=tiny)
        assert found.scene.file_bytes is None
        assert found.scene.compression is None
        assert found.run is not None

    def test_an_open_scene_stays_open(self, holed: Path, tiny: Model) -> None:
        with open_scene(holed) as scene:
            assert preflight(scene).scene.bands == scene.all_bands
            needing = replace(tiny, contract=replace(tiny.contract, dtype="uint16"))
            found = preflight(scene, model=needing)
            assert "pass `rescale=" in found.needs[0]
            assert found.run is not None
            assert found.model is not None
            assert found.model.limits is None
            assert preflight(scene, model=needing, rescale=(1, 200)).model.limits == ((1, 200),) * 3  # type: ignore[union-attr]

    def test_refusals(self, holed: Path, tiny: Model, tmp_path: Path) -> None:
        with pytest.raises(SceneError, match="does not exist"):
            preflight(tmp_path / "none.tif", model=tiny)
        with pytest.raises(OptionError, match=r"name one \(`model=`\)"):
            preflight(holed, crf=True)
        with pytest.raises(OptionError, match="no device is called"):
            preflight(holed, model=tiny, device="abacus")
