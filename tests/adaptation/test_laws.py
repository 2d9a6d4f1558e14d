"""Maps of an adapted model do not depend on how they were computed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geodeeplab as gdl
from geodeeplab.cluster import Dask
from geodeeplab.pipeline.executor import InThisProcess
from tests.adaptation.drawn import Drawn, pixel_box, read

OUTPUTS = ("label_raster", "confidence", "probabilities")


class Cut(Exception):
    """What ends a run."""


def outputs_in(folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return {name: folder / f"{name}.tif" for name in OUTPUTS}


@pytest.fixture(scope="module")
def whole(adapted: gdl.Adaptation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The maps of one run."""
    paths = outputs_in(tmp_path_factory.mktemp("whole"))
    adapted.segment(**paths)
    return paths


def check_same(whole: dict[str, Path], paths: dict[str, Path]) -> None:
    for name in OUTPUTS:
        assert np.array_equal(read(whole[name]), read(paths[name])), name


def test_the_map_is_right(whole: dict[str, Path], drawn: Drawn) -> None:
    labels = read(whole["label_raster"])[0]
    assert (labels == drawn.truth + 1).mean() > 0.93
    probabilities = read(whole["probabilities"])
    assert len(probabilities) == 3


@pytest.mark.slow
def test_columns_give_the_same(adapted: gdl.Adaptation, whole: dict[str, Path], tmp_path: Path) -> None:
    paths = outputs_in(tmp_path / "columns")
    run = adapted.segment(**paths, executor=InThisProcess(memory_limit=1))
    assert run.facts["shards"] > 1
    check_same(whole, paths)


def test_a_resumed_map_is_the_same(adapted: gdl.Adaptation, whole: dict[str, Path], tmp_path: Path) -> None:
    paths, left = outputs_in(tmp_path / "cut"), 1

    def cut(done: int, total: int) -> None:
        nonlocal left
        left -= done > 0
        if left < 0:
            raise Cut

    with pytest.raises(Cut):
        adapted.segment(**paths, progress=cut)
    run = adapted.segment(**paths, resume=True)
    assert 0 < run.facts["resumed_share"] < 1
    check_same(whole, paths)


def test_the_saved_model_gives_the_same(
    adapted: gdl.Adaptation,
    whole: dict[str, Path],
    drawn: Drawn,
    tmp_path: Path,
) -> None:
    paths = outputs_in(tmp_path / "saved")
    gdl.segment(drawn.scene, model=adapted.save(tmp_path / "m.safetensors"), **paths)
    check_same(whole, paths)


def test_an_area_of_interest_changes_nothing_within(
    adapted: gdl.Adaptation, whole: dict[str, Path], tmp_path: Path
) -> None:
    paths = outputs_in(tmp_path / "aoi")
    adapted.segment(**paths, aoi=pixel_box(20, 20, 80, 130))
    for name in OUTPUTS[:2]:
        assert np.array_equal(read(paths[name])[0, 20:100, 20:150], read(whole[name])[0, 20:100, 20:150])
    assert not read(paths["label_raster"])[0, :20].any()


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Dask]:
    """Two local workers."""
    with Dask(2, threads=1, shard_size=64) as dask:
        yield dask


@pytest.mark.slow
def test_two_workers_give_the_same(
    adapted: gdl.Adaptation, whole: dict[str, Path], two_workers: Dask, tmp_path: Path
) -> None:
    paths = outputs_in(tmp_path / "workers")
    run = adapted.segment(**paths, executor=two_workers)
    assert run.facts["shards"] > 1
    check_same(whole, paths)


@pytest.mark.slow
@pytest.mark.xdist_group("onnx")
def test_an_exported_model_agrees(adapted: gdl.Adaptation, drawn: Drawn, tmp_path: Path) -> None:
    from geodeeplab.models import export_onnx

    export_onnx(adapted.network, adapted.model.contract, tmp_path / "m.onnx")
    gdl.segment(drawn.scene, label_raster=tmp_path / "a.tif", model=tmp_path / "m.onnx")
    adapted.segment(label_raster=tmp_path / "b.tif", precision="fp32")  # as the exported file is
    assert np.mean(read(tmp_path / "a.tif") == read(tmp_path / "b.tif")) >= 0.999


def test_a_scene_without_the_bands_is_refused(
    adapted: gdl.Adaptation,
    drawn: Drawn,
    tmp_path: Path,
    make_raster: Callable[..., Path],
) -> None:
    other = make_raster(read(drawn.scene)[:1], "grey.tif")
    with pytest.raises(gdl.ContractError, match="needs red, green, blue"):
        adapted.segment(label_raster=tmp_path / "a.tif", scene=other)
