"""One round after another: the cache, what has changed, and models adapted again."""

import base64
import io
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import geodeeplab as gdl
from geodeeplab.models import AdaptedNetwork
from tests.adaptation.drawn import SMALL, Drawn, draw_image, pixel_box, read, write_scene


def adapt(drawn: Drawn, **options: Any) -> gdl.Adaptation:  # noqa: ANN401 - passed on
    return gdl.adapt(drawn.scene, drawn.polygons, **SMALL | options)


def check_same(one: gdl.Adaptation, other: gdl.Adaptation) -> None:
    """Check that two models are the same to the bit."""
    own, theirs = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(own[key], theirs[key]) for key in own)
    assert np.array_equal(one.cells.features, other.cells.features)
    assert one.report == other.report


@pytest.fixture
def forwarded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each batch of which features are computed."""
    found: list[int] = []
    compute = AdaptedNetwork._computed

    def watched(network: AdaptedNetwork, images: torch.Tensor) -> torch.Tensor:
        found.append(len(images))
        return compute(network, images)

    monkeypatch.setattr(AdaptedNetwork, "_computed", watched)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEODEEPLAB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_with_and_without_cache(
    drawn: Drawn, folder: Path, forwarded: list[int]
) -> None:
    without = adapt(drawn, cache=False)
    assert not folder.exists()
    assert forwarded
    first = adapt(drawn)
    forwarded.clear()
    second = adapt(drawn)
    assert not forwarded, "nothing is computed again"
    check_same(without, first)
    check_same(first, second)
    weights = [one.network.state_dict()["head.0.weight"] for one in (first, adapt(drawn, seed=1))]
    assert not torch.equal(*weights)
    assert not [one for one in folder.iterdir() if one.suffix != ".npy"]


def test_a_map_takes_features_from_the_cache_and_is_the_same_to_the_bit(
    drawn: Drawn, folder: Path, forwarded: list[int], tmp_path: Path
) -> None:
    kept, fresh = adapt(drawn), adapt(drawn, cache=False)
    for batch_size in (None, 3):
        probabilities = []
        for name, one in (("kept", kept), ("fresh", fresh)):
            forwarded.clear()
            one.segment(probabilities=tmp_path / f"{name}.tif", overwrite=True, batch_size=batch_size)
            probabilities.append(read(tmp_path / f"{name}.tif"))
            assert bool(forwarded) == (one is fresh or batch_size is not None), "only what was computed before is found"
        assert np.array_equal(probabilities[0], probabilities[1])
    assert kept.network.recall is None


def test_a_scene_that_changed_is_noticed(tmp_path: Path, drawn: Drawn, folder: Path, forwarded: list[int]) -> None:
    image = read(drawn.scene)
    scene = write_scene(tmp_path / "scene.tif", image)
    facts = scene.stat()
    gdl.adapt(scene, drawn.polygons, **SMALL)
    image[:, 20:40, 20:40] = 255 - image[:, 20:40, 20:40]
    write_scene(scene, image)
    os.utime(scene, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    forwarded.clear()
    changed = gdl.adapt(scene, drawn.polygons, **SMALL)
    assert forwarded
    check_same(changed, gdl.adapt(scene, drawn.polygons, **SMALL, cache=False))


@pytest.mark.slow
def test_damaged_files_are_computed_again(drawn: Drawn, folder: Path) -> None:
    first = adapt(drawn)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.write_bytes(path.read_bytes()[: [0, 50, 200][number % 3]])
    check_same(first, adapt(drawn))
    for path in folder.iterdir():
        np.save(path, np.zeros((2, 3), np.float32))
    check_same(first, adapt(drawn))


def test_a_cache_that_cannot_be_written_is_warned_of_once(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEODEEPLAB_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(gdl.GeoDeepLabWarning, match=r"features are not kept") as told:
        found = adapt(drawn)
    assert len(told) == 1
    check_same(found, adapt(drawn, cache=False))


@pytest.mark.slow
def test_what_has_changed_since_the_round_before(drawn: Drawn, adapted: gdl.Adaptation, tmp_path: Path) -> None:
    with pytest.raises(gdl.OptionError, match="first round: pass `since=`"):
        adapted.changes()
    same = adapt(drawn, since=adapted)
    path = adapted.save(tmp_path / "before.safetensors")
    assert same.changes() == adapt(drawn, since=path).changes()
    assert "% of the ground has another class than before" in same.changes()
    assert "mean IoU" in same.changes()
    assert "4 → 4 polygons" in same.changes()
    fewer = gdl.adapt(drawn.scene, drawn.polygons[drawn.polygons["class"] != "c"], **SMALL, since=adapted)
    share = float(fewer.changes().split("%")[0])
    now = fewer.network
    assert isinstance(now, AdaptedNetwork)
    assert 15 < share < 75, "the third class, a third of the scene, is gone"
    assert "c: no longer a class" in fewer.changes()


@pytest.mark.slow
def test_an_adapted_model_is_adapted_again(drawn: Drawn, adapted: gdl.Adaptation, tmp_path: Path) -> None:
    path = adapted.save(tmp_path / "a.safetensors")
    more = drawn.polygons[drawn.polygons["class"] != "c"]
    again = gdl.adapt(drawn.scene, more, **SMALL | {"model": path})
    assert again.class_names == ("a", "b")
    assert again.model.contract.provenance["features"] == ["those of model 'adapted'"]
    own, theirs = again.network.state_dict(), adapted.network.state_dict()
    assert all(torch.equal(own[key], theirs[key]) for key in own if key.startswith(("encoders.", "colour.")))
    again.segment(label_raster=tmp_path / "a.tif")
    assert set(np.unique(read(tmp_path / "a.tif"))) == {1, 2}
    grey = write_scene(tmp_path / "grey.tif", draw_image(drawn.truth, bands=1))
    with pytest.raises(gdl.OptionError, match="reads 3 bands of uint8, and the scenes have 1"):
        gdl.adapt(grey, drawn.polygons, **SMALL | {"model": path})


def test_models_from_elsewhere_are_not_adapted(drawn: Drawn, tiny_model: Path) -> None:
    found = adapt(drawn, model=tiny_model)
    assert "tiny" in found.model.contract.provenance["features"]


def test_the_file_says_what_it_was_made_from(adapted: gdl.Adaptation, drawn: Drawn, tmp_path: Path) -> None:
    contract = gdl.load_model(adapted.save(tmp_path / "a.safetensors")).contract
    facts = contract.provenance
    assert facts["made_by"].endswith("adapt")
    assert facts["scenes"] == [{"name": "scene.tif", "shape": [131, 180]}]
    assert facts["polygons"] == len(drawn.polygons) == sum(facts["polygons_by_class"])
    assert facts["seed"] == 0
    assert contract.metrics["polygons left out"] == adapted.report.to_dict()
    assert str(drawn.scene.parent) not in contract.to_json(), "names of files, not where they lie"


def test_suggestions_lie_on_the_scene_and_not_on_polygons(adapted: gdl.Adaptation, tmp_path: Path) -> None:
    found = adapted.suggest(4, tmp_path / "next.gpkg")
    assert 0 < len(found) <= 4
    assert (tmp_path / "next.gpkg").exists()
    with pytest.raises(gdl.OutputError, match="exists"):
        adapted.suggest(4, tmp_path / "next.gpkg")


def test_an_adaptation_is_drawn_and_printed(adapted: gdl.Adaptation, drawn: Drawn) -> None:
    figure = adapted.show(max_size=100)
    assert len(figure.axes) >= 3
    assert str(drawn.scene) in repr(adapted)
    assert "mean" in repr(adapted)


def test_a_notebook_shows_the_report_and_a_sample_of_the_ground(
    adapted: gdl.Adaptation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodeeplab.adaptation.adaptation.segment", lambda *_, **__: pytest.fail("it segments"))
    shown = adapted._repr_html_()
    assert "<table>" in shown
    assert all(f"{name}" in shown for name in adapted.class_names)
    picture = re.search(r"base64,([^\"]*)", shown)
    assert picture is not None
    with Image.open(io.BytesIO(base64.b64decode(picture[1]))) as image:
        assert image.size == (180, 131)
        colors = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    for item in adapted.model.contract.classes:
        assert np.abs(colors - item.color).sum(axis=1).min() < 40, "each class is painted somewhere"
    moved = replace(adapted, scenes=("moved.tif",))
    assert moved._repr_html_() == adapted.report._repr_html_()


@pytest.mark.slow
def test_arrays_are_scenes_too(drawn: Drawn, tmp_path: Path) -> None:
    from rasterio.crs import CRS

    from tests.adaptation.drawn import TRANSFORM

    scene = gdl.open_array(read(drawn.scene), transform=TRANSFORM, crs=CRS.from_epsg(32633))
    adapted = gdl.adapt(scene, drawn.polygons, **SMALL)
    adapted.segment(label_raster=tmp_path / "a.tif", aoi=pixel_box(0, 0, 60, 60))
    assert read(tmp_path / "a.tif")[0, :60, :60].all()
    assert len(adapted.show(max_size=60).axes) >= 3
    check_same(adapted, adapt(drawn))
