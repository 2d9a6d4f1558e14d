import json
from pathlib import Path

import pytest
import torch

import compare_recipes
from aerial_data import TRAIN_TILES
from geodeeplab.models import build_model, load_pretrained
from rival_recipes import RIVALS, RivalBatches, torchvision_network

SMALL = "--steps 3 --batch 2 --crop 32 --width 16 --backbone mobilenet_v3_small --weights none".split()


@pytest.fixture
def sets(data: Path, tmp_path: Path) -> Path:
    """A folder of all sets, with Dubai alone."""
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "dubai").symlink_to(data)
    return tmp_path / "sets"


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("what is there is not done again")


@pytest.mark.slow
def test_recipes_take_the_same_steps_and_are_scored_the_same_way(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = ["ours", "torchvision", "dice", "v3plus", "tenth-rate", "tta"]
    options = ["--data", str(sets), "--out", str(tmp_path), *SMALL, "--recipes", *recipes]
    compare_recipes.main(options)
    monkeypatch.setattr(compare_recipes, "run", refuse)
    compare_recipes.main(options)
    found = {name: json.loads((tmp_path / f"{name}-seed1.json").read_text()) for name in recipes}
    for facts in found.values():
        assert list(facts["scores"]) == ["dubai2-selection", "dubai6-report"]
        assert 0 <= facts["scores"]["dubai6-report"]["boundary_iou"] <= 1
        assert len(facts["scores"]["dubai6-report"]["iou"]) == 5
    assert found["torchvision"]["history"]
    assert found["torchvision"]["steps"] == 3
    assert found["tta"]["parameters"] == found["ours"]["parameters"]
    lines = (tmp_path / "recipes.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:]] == recipes


def test_an_ablation_changes_one_thing(sets: Path, tmp_path: Path) -> None:
    args = compare_recipes.parse_arguments(["--data", str(sets), "--out", str(tmp_path), *SMALL])
    ours = compare_recipes.build("ours", compare_recipes.prepare("ours", 1, args), args)
    with_dice = compare_recipes.build("dice", compare_recipes.prepare("dice", 1, args), args)
    bilinear = compare_recipes.build("no-pointrend", ours.data, args)
    weighted = compare_recipes.build("class-weights", ours.data, args)
    assert (ours.objective.dice_fraction, with_dice.objective.dice_fraction) == (0, 1 / 3)
    assert ours.objective.class_weights is None
    assert weighted.objective.class_weights is not None
    assert weighted.objective.dice_fraction == 0
    assert ours.network.point_head is not None
    assert bilinear.network.point_head is None
    assert bilinear.objective == ours.objective


def test_rivals_begin_with_our_weights() -> None:
    network = torchvision_network(5, "efficientnet_lite0", 16, weights="imagenet")
    ours = build_model(arch="deeplabv3", backbone="efficientnet_lite0", num_classes=5)
    load_pretrained(ours, "imagenet")
    begun = network.backbone.backbone.state_dict()
    assert all(torch.equal(value, begun[key]) for key, value in ours.backbone.state_dict().items())
    logits = network.eval()(torch.zeros(1, 3, 64, 64))
    assert (logits["out"].shape, logits["aux"].shape) == ((1, 5, 64, 64), (1, 5, 64, 64))


def test_rivals_draw_the_same_crops_for_a_seed(sets: Path, tmp_path: Path) -> None:
    args = compare_recipes.parse_arguments(["--data", str(sets), "--out", str(tmp_path), *SMALL])
    rival = RIVALS["torchvision"](5, "resnet18", 16)
    batches = RivalBatches(compare_recipes.pairs(args), rival, steps=3, size=2, crop=32, seed=1)
    images, labels = batches[1]
    assert len(batches) == 3
    assert (images.shape, labels.shape) == ((2, 3, 32, 32), (2, 32, 32))
    assert labels.max() < 5
    assert (batches[1][0] == images).all()
    assert (batches[2][0] != images).any()
    assert len(compare_recipes.pairs(args)) == len(TRAIN_TILES)
