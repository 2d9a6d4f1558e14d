"""Scenes into folders, from Python."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.pipeline.scenes.manifest import MANIFEST_NAME, read_manifest


def test_a_scene_that_fails_stops_no_other_and_the_next_call_goes_on(
    make_raster: Callable[..., Path], blocks: Callable[..., np.ndarray], tiny_model: Path, tmp_path: Path
) -> None:
    whole = make_raster(blocks(60, 80), "a.tif", photometric="rgb")
    asset = {"href": "a.tif", "type": "image/tiff", "roles": ["data"]}
    items = [
        {"type": "Feature", "id": own, "assets": {"image": asset} if own == "one" else {}} for own in ("none", "one")
    ]
    document = tmp_path / "items.json"
    document.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    out, told = tmp_path / "out", list[tuple[int, int]]()

    with pytest.warns(GeoDeepLabWarning, match="a scene failed: STAC item 'none' has no band"):
        runs = gdl.segment_scenes(
            [document, whole], label_raster=out, model=tiny_model, progress=lambda *step: told.append(step)
        )
    assert [(run.scene.rpartition("/")[2], run.status) for run in runs] == [
        ("items.json#none", "failed"),
        ("items.json#one", "done"),
        ("a.tif", "done"),
    ]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert (out / "a.tif").read_bytes()[:2] == b"II"
    assert runs[2].facts is not None
    assert runs[2].facts["outputs"] == [str(out / "a.tif")] == list(runs[2].outputs)
    noted = {run.scene: (run.status, run.seconds) for run in read_manifest(out / MANIFEST_NAME)}
    assert noted == {run.scene: (run.status, round(run.seconds or 0, 3)) for run in runs}

    items[0]["assets"] = {"image": asset}
    document.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    again = gdl.segment_scenes([document, whole], label_raster=out, model=tiny_model)
    assert {run.scene.rpartition("/")[2]: run.status for run in again} == {
        "items.json#one": "done before",
        "a.tif": "done before",
        "items.json#none": "done",
    }
    assert all(run.status == "done" for run in read_manifest(out / MANIFEST_NAME))
    (out / MANIFEST_NAME).write_text("damaged\n")
    with pytest.warns(GeoDeepLabWarning, match="had a damaged line: it is made again"):
        gdl.segment_scenes(document, label_raster=out, model=tiny_model)
    assert len(read_manifest(out / MANIFEST_NAME)) == 2
