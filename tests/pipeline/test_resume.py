"""Runs that were cut off, and runs in columns: the same pixels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import geodeeplab as gdl
from geodeeplab.models import Model
from geodeeplab.pipeline.executor import InThisProcess
from tests.examples import few

MakeRaster = Callable[..., Path]
Blocks = Callable[..., NDArray[np.uint8]]
TILE: dict[str, Any] = {"tile_size": 64, "overlap": 16}


class Cut(Exception):
    """What ends a run."""


def cut_after(calls: int) -> Callable[[int, int], None]:
    """Give a progress callback that ends the run after so many calls that report progress."""
    left = calls

    def progress(done: int, total: int) -> None:
        nonlocal left
        left -= done > 0
        if left < 0:
            raise Cut

    return progress


def read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as src:
        pixels: NDArray[np.uint8] = src.read()
    return pixels


@pytest.fixture
def scene(make_raster: MakeRaster, blocks: Blocks) -> Path:
    image = blocks(400, 300)
    image[:, 100:180, 40:260] = 0
    return make_raster(image, photometric="rgb", nodata=0)


@pytest.fixture
def whole(scene: Path, tiny: Model, tmp_path: Path) -> dict[str, NDArray[np.uint8]]:
    """The pixels of an uninterrupted run, by output."""
    paths = outputs_in(tmp_path / "whole")
    gdl.segment(scene, model=tiny, **TILE, **paths)
    return {name: read(path) for name, path in paths.items()}


def outputs_in(folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return {name: folder / f"{name}.tif" for name in ("label_raster", "confidence", "probabilities")}


@pytest.mark.parametrize("calls", few([2, 1, 5], 1))
def test_a_resumed_run_gives_the_same_pixels_and_keeps_the_work(
    scene: Path, whole: dict[str, NDArray[np.uint8]], tiny: Model, tmp_path: Path, calls: int
) -> None:
    paths = outputs_in(tmp_path / "out")
    with pytest.raises(Cut) as caught:
        gdl.segment(scene, model=tiny, **TILE, **paths, progress=cut_after(calls))
    assert "pass `resume=True`" in "".join(caught.value.__notes__)
    assert not any(path.exists() for path in paths.values())
    done = gdl.segment(scene, model=tiny, **TILE, **paths, resume=True)
    rows = calls + 1  # the block during whose report the run ended is safe, too
    assert done.facts["resumed_share"] == pytest.approx(48 * rows / 400)
    lattice_rows, lattice_cols = 8, 6
    assert sum(done.facts["tiles"].values()) == (lattice_rows - rows + 1) * lattice_cols, "one row of tiles twice"
    for name, path in paths.items():
        assert np.array_equal(read(path), whole[name])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [path.name for path in paths.values()] + ["label_raster.tif.aux.xml"]
    )
    assert done.facts["pixels"] == {
        item.name: int((whole["label_raster"] == item.id).sum()) for item in tiny.contract.classes
    }


def test_with_nothing_to_resume_it_starts_afresh_and_says_so(scene: Path, tiny: Model, tmp_path: Path) -> None:
    with pytest.warns(gdl.GeoDeepLabWarning, match="nothing to resume"):
        done = gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny, **TILE, resume=True)
    assert done.facts["resumed_share"] == 0


def test_another_option_model_or_scene_is_refused(
    scene: Path, tiny: Model, tmp_path: Path, blocks: Blocks, make_raster: MakeRaster
) -> None:
    out = tmp_path / "a.tif"
    with pytest.raises(Cut):
        gdl.segment(scene, label_raster=out, model=tiny, **TILE, progress=cut_after(2))
    changes: list[tuple[dict[str, Any], str]] = [
        ({"overlap": 8}, "overlap 16, now 8"),
        ({"blend": "linear"}, "blend"),
        ({"min_confidence": 0.5}, "min_confidence"),
        ({"model": gdl.load_model()}, "model_checksum"),
        ({"confidence": tmp_path / "b.tif"}, "layers"),
    ]
    for change, words in changes:
        options = {"label_raster": out, "model": tiny, **TILE} | change
        with pytest.raises(gdl.OutputError, match=words):
            gdl.segment(scene, **options, resume=True)
    with pytest.raises(gdl.OutputError, match="`resume=True` to go on"):
        gdl.segment(scene, label_raster=out, model=tiny, **TILE)
    make_raster(blocks(400, 300, seed=1), photometric="rgb", nodata=0)
    with pytest.raises(gdl.OutputError, match="scene_files"):
        gdl.segment(scene, label_raster=out, model=tiny, **TILE, resume=True)
    done = gdl.segment(scene, label_raster=out, model=tiny, **TILE, overwrite=True)
    assert done.facts["resumed_share"] == 0


def test_a_resumed_run_takes_the_batch_that_was_found_before(scene: Path, tiny: Model, tmp_path: Path) -> None:
    out = tmp_path / "a.tif"
    with pytest.raises(Cut):
        gdl.segment(scene, label_raster=out, model=tiny, **TILE, batch_size=3, progress=cut_after(2))
    with pytest.raises(gdl.OutputError, match="batch_size 3, now 2"):
        gdl.segment(scene, label_raster=out, model=tiny, **TILE, batch_size=2, resume=True)
    done = gdl.segment(scene, label_raster=out, model=tiny, **TILE, resume=True)
    assert done.facts["batch_size"] == 3
    assert done.facts["resumed_share"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 400_000])
def test_columns_give_the_same_pixels(
    scene: Path, whole: dict[str, NDArray[np.uint8]], tiny: Model, tmp_path: Path, limit: int
) -> None:
    paths = outputs_in(tmp_path / "out")
    executor = InThisProcess(memory_limit=limit)
    done = gdl.segment(scene, tmp_path / "out" / "a.gpkg", model=tiny, **TILE, **paths, executor=executor)
    assert done.facts["shards"] == (7 if limit == 1 else 4)
    for name, path in paths.items():
        assert np.array_equal(read(path), whole[name])
    assert len(done.polygons) == len(gdl.segment(scene, tmp_path / "b.gpkg", model=tiny, **TILE).polygons)


def test_columns_resume_too(scene: Path, whole: dict[str, NDArray[np.uint8]], tiny: Model, tmp_path: Path) -> None:
    paths, executor = outputs_in(tmp_path / "out"), InThisProcess(memory_limit=400_000)
    with pytest.raises(Cut):
        gdl.segment(scene, model=tiny, **TILE, **paths, executor=executor, progress=cut_after(11))
    done = gdl.segment(scene, model=tiny, **TILE, **paths, executor=executor, resume=True)
    assert 0.3 < done.facts["resumed_share"] < 1
    for name, path in paths.items():
        assert np.array_equal(read(path), whole[name])


def test_large_rasters_are_the_same_file_whoever_cut_off_and_however_it_was_cut(
    scene: Path, whole: dict[str, NDArray[np.uint8]], tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held until squares are whole is so of large rasters: here this one is large, and squares have 64 px."""
    for name in ("aligning", "encoded", "overviews", "squares"):
        monkeypatch.setattr(f"geodeeplab.raster.spool.{name}.BLOCK_SIZE", 64)
    monkeypatch.setattr("geodeeplab.raster.cog.BLOCK_SIZE", 64)
    one, cut = outputs_in(tmp_path / "one"), outputs_in(tmp_path / "cut")
    monkeypatch.setattr("geodeeplab.raster.spool.aligning.SMALL_PIXELS", 0)
    gdl.segment(scene, model=tiny, **TILE, **one)
    with pytest.raises(Cut):
        gdl.segment(scene, model=tiny, **TILE, **cut, progress=cut_after(3))
    done = gdl.segment(scene, model=tiny, **TILE, **cut, resume=True)
    assert done.facts["resumed_share"] == pytest.approx(4 * 64 / 400)
    for name, path in one.items():
        assert np.array_equal(read(path), whole[name])
        assert path.read_bytes() == cut[name].read_bytes()
        with rasterio.open(path) as src:
            assert src.overviews(1) == [2, 4, 8]


@pytest.mark.parametrize("suffix", few([".gpkg", ".parquet", ".fgb", ".geojson"], 2))
def test_a_complete_run_was_done_before(scene: Path, tiny: Model, tmp_path: Path, suffix: str) -> None:
    paths: dict[str, Any] = {"polygons": tmp_path / f"a{suffix}", "label_raster": tmp_path / "a.tif"}
    gdl.segment(scene, model=tiny, **TILE, **paths)
    before = {name: path.read_bytes() for name, path in paths.items()}
    again = gdl.segment(scene, model=tiny, **TILE, **paths, resume=True)
    assert (again.facts["resumed_share"], again.facts["notes"]) == (1.0, ["done before"])
    assert {name: path.read_bytes() for name, path in paths.items()} == before
    with pytest.raises(gdl.OutputError, match="is complete and was made with tta"):
        gdl.segment(scene, model=tiny, **TILE, **paths, resume=True, tta="flips")
    sieved = gdl.PolygonOptions(min_area_px=9)
    with pytest.raises(gdl.OutputError, match="is complete and was made with min_area_px unset, now 9"):
        gdl.segment(scene, model=tiny, **TILE, **paths, resume=True, polygon_options=sieved)
    paths["label_raster"].write_bytes(scene.read_bytes())
    with pytest.raises(gdl.OutputError, match=r"a\.tif is complete and was made with something else"):
        gdl.segment(scene, model=tiny, **TILE, **paths, resume=True)
