"""Masks from end to end: what they hide has no label, at any shard size, and is never forwarded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

import geodeeplab as gdl
from geodeeplab.cluster.portable import to_portable
from geodeeplab.errors import OptionError, OutputError, SceneError
from geodeeplab.models import Model
from geodeeplab.pipeline.executor import InThisProcess
from geodeeplab.pipeline.request import Request
from tests.examples import few
from tests.pipeline.test_resume import Cut, cut_after

MakeRaster = Callable[..., Path]
TILE: dict[str, Any] = {"tile_size": 64, "overlap": 16}
HALF = Affine(2, 0, 500_000, 0, -2, 5_000_000)


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as src:
        pixels: NDArray[Any] = src.read()
    return pixels


@pytest.fixture
def scene(make_raster: MakeRaster, blocks: Callable[..., NDArray[np.uint8]]) -> Path:
    return make_raster(blocks(120, 160), photometric="rgb")


@pytest.fixture
def hidden() -> NDArray[np.bool_]:
    """(H, W), True under clouds: a whole corner of tiles, and a round one."""
    rows, cols = np.mgrid[:60, :80]
    clouds: NDArray[np.bool_] = (rows < 42) & (cols < 40) | (np.hypot(rows - 50, cols - 65) < 9)
    return clouds.repeat(2, axis=0).repeat(2, axis=1)


@pytest.fixture
def clouds(make_raster: MakeRaster, hidden: NDArray[np.bool_]) -> Path:
    """A mask at half the resolution: 9 under clouds."""
    return make_raster(np.where(hidden, 9, 4).astype(np.uint8)[None, ::2, ::2], "clouds.tif", transform=HALF)


@pytest.mark.parametrize("options", few([{"gsd_m": 1.2}, {}], 1))
def test_nothing_has_a_label_under_clouds(
    scene: Path, clouds: Path, hidden: NDArray[np.bool_], tiny: Model, tmp_path: Path, options: dict[str, Any]
) -> None:
    outputs = []
    for folder, executor in ((tmp_path / "one", None), (tmp_path / "columns", InThisProcess(memory_limit=1))):
        folder.mkdir()
        paths: dict[str, Any] = {
            name: folder / f"{name}.tif" for name in ("label_raster", "confidence", "probabilities")
        }
        done = gdl.segment(
            scene, folder / "a.gpkg", mask=f"{clouds}:8,9", model=tiny, executor=executor, **paths, **TILE, **options
        )
        outputs.append({name: read(path) for name, path in paths.items()})
        assert done.facts["mask"] == [{"raster": "clouds.tif", "values": [8, 9], "bits": []}]
        assert done.facts["tiles"]["skipped"] > 0, "tiles under a cloud are never forwarded"
        polygons = shapely.from_wkb(pyogrio.raw.read(folder / "a.gpkg", layer="landcover")[2])
        assert shapely.area(polygons).sum() == (~hidden).sum()
    assert done.facts["shards"] > 1
    for name, nodata in (("label_raster", 0), ("confidence", 255), ("probabilities", 255)):
        assert np.array_equal(outputs[0][name] == nodata, np.broadcast_to(hidden, outputs[0][name].shape)), name
        assert np.array_equal(outputs[0][name], outputs[1][name]), name


@pytest.mark.slow
def test_a_mask_is_nodata_like_any_other(
    scene: Path, clouds: Path, hidden: NDArray[np.bool_], tiny: Model, make_raster: MakeRaster, tmp_path: Path
) -> None:
    """Law: the labels are those of a scene whose own mask says the same."""
    own = make_raster(read(scene), "own.tif", photometric="rgb", mask=~hidden)
    gdl.segment(own, label_raster=tmp_path / "own_labels.tif", model=tiny, **TILE)
    for name, mask in (("file", clouds), ("array", hidden)):
        counting = mask if name == "array" else f"{mask}:9"
        gdl.segment(scene, label_raster=tmp_path / f"{name}.tif", mask=counting, model=tiny, **TILE)
        assert np.array_equal(read(tmp_path / f"{name}.tif"), read(tmp_path / "own_labels.tif")), name


def test_a_changed_mask_is_refused(scene: Path, clouds: Path, tiny: Model, tmp_path: Path) -> None:
    labels = tmp_path / "labels.tif"
    run: dict[str, Any] = {"label_raster": labels, "model": tiny, **TILE}
    whole = gdl.segment(scene, label_raster=tmp_path / "whole.tif", mask=f"{clouds}:9", model=tiny, **TILE)
    with pytest.raises(Cut):
        gdl.segment(scene, mask=f"{clouds}:9", progress=cut_after(1), **run)
    for mask in (None, f"{clouds}:8", str(clouds)):
        with pytest.raises(OutputError, match=r"cannot resume: .* was made with mask"):
            gdl.segment(scene, mask=mask, resume=True, **run)
    content = clouds.read_bytes()
    clouds.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(OutputError, match=r"cannot resume: .* was made with scene_files"):
        gdl.segment(scene, mask=f"{clouds}:9", resume=True, **run)
    clouds.write_bytes(content)
    with pytest.raises(OutputError, match="scene_files"):  # another time of change is another file
        gdl.segment(scene, mask=f"{clouds}:9", resume=True, **run)
    gdl.segment(scene, mask=f"{clouds}:9", overwrite=True, **run)
    assert np.array_equal(read(labels), read(tmp_path / "whole.tif"))
    assert whole.facts["resumed_share"] == 0


@pytest.mark.slow
def test_a_resumed_run_gives_the_same_pixels(scene: Path, clouds: Path, tiny: Model, tmp_path: Path) -> None:
    run: dict[str, Any] = {"mask": f"{clouds}:9", "model": tiny, **TILE}
    gdl.segment(scene, label_raster=tmp_path / "whole.tif", **run)
    with pytest.raises(Cut):
        gdl.segment(scene, label_raster=tmp_path / "cut.tif", progress=cut_after(1), **run)
    done = gdl.segment(scene, label_raster=tmp_path / "cut.tif", resume=True, **run)
    assert 0 < done.facts["resumed_share"] < 1
    assert np.array_equal(read(tmp_path / "cut.tif"), read(tmp_path / "whole.tif"))


def test_a_mask_is_never_overwritten(scene: Path, clouds: Path, tiny: Model, tmp_path: Path) -> None:
    for mask in (f"{clouds}:9", "{folder}/clouds.tif"):
        with pytest.raises(OptionError, match=r"output .*clouds\.tif is also an input"):
            gdl.segment(scene, label_raster=clouds, mask=mask, model=tiny, overwrite=True, **TILE)
    assert read(clouds).any()


def test_all_hidden(scene: Path, tiny: Model, tmp_path: Path) -> None:
    everything = np.ones((120, 160), bool)
    with pytest.raises(SceneError, match="has no valid pixel outside of its masks in these bands"):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", mask=everything, model=tiny, **TILE)
    assert not list(tmp_path.glob("a*"))
    assert "has no valid pixel outside of its masks" in gdl.preflight(scene, mask=everything, model=tiny).needs[0]


@pytest.mark.slow
def test_info_counts_what_is_left(scene: Path, clouds: Path, tiny: Model, tmp_path: Path) -> None:
    run: dict[str, Any] = {"mask": f"{clouds}:9", "model": tiny, **TILE}
    found = gdl.preflight(scene, **run)
    done = gdl.segment(scene, label_raster=tmp_path / "a.tif", **run)
    assert found.run is not None
    assert found.run.empty_tiles == done.facts["tiles"]["skipped"] > 0
    assert found.scene.valid == f"everywhere unless mask {clouds}:9 hides it"
    assert gdl.preflight(scene, mask=clouds).scene.valid.endswith("clouds.tif hides it")


@pytest.mark.slow
def test_each_scene_has_its_own(
    scene: Path, clouds: Path, hidden: NDArray[np.bool_], make_raster: MakeRaster, tiny_model: Path, tmp_path: Path
) -> None:
    other = make_raster(read(scene), "other.tif", photometric="rgb")
    clouds.rename(tmp_path / "scene_clouds.tif")
    make_raster(np.zeros((1, 60, 80), np.uint8), "other_clouds.tif", transform=HALF)
    runs = gdl.segment_scenes(
        [scene, other], label_raster=tmp_path / "out", mask="{folder}/{name}_clouds.tif:9", model=tiny_model, **TILE
    )
    assert [run.status for run in runs] == ["done", "done"]
    assert np.array_equal(read(tmp_path / "out" / "scene.tif")[0] == 0, hidden)
    assert read(tmp_path / "out" / "other.tif").all()


def test_masks_travel_to_workers(scene: Path, clouds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clouds.parent)
    masks = ["clouds.tif:9", "scl:3", "m/{name}.tif", "{folder}/{name}.tif", "s3://a/{name}.tif"]
    sent = to_portable(Request(scene=scene, model="landcover-aerial", mask=masks)).mask
    folder = clouds.parent
    assert list(map(str, sent)) == [  # type: ignore[arg-type]
        f"{clouds}:9",
        "scl:3",
        f"{folder}/m/{{name}}.tif",
        "{folder}/{name}.tif",
        "s3://a/{name}.tif",
    ]
    with pytest.raises(OptionError, match="Dask workers open a mask by its path or URL, not a ndarray"):
        to_portable(Request(scene=scene, model="landcover-aerial", mask=np.ones((120, 160), bool)))
