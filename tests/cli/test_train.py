"""`geodeeplab train`, on a scene of squares and for a step or two."""

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geodeeplab.cli import train as train_command
from geodeeplab.cli.train_config import known_keys, merge, read_config, to_toml
from geodeeplab.errors import OptionError
from geodeeplab.models import SegmentationNetwork, load_model, read_contract
from geodeeplab.models.int8.calibrate import int8_convolutions
from tests.cli.conftest import Ran, check_refusal

MakeRaster = Callable[..., Path]
Run = Callable[..., Ran]
SMALL = (
    "--arch",
    "fcn",
    "--backbone",
    "mobilenet_v3_small",
    "--weights",
    "none",
    "--precision",
    "fp32",
    "--device",
    "cpu",
)
SHORT = (
    "--chip-size",
    32,
    "--batch-size",
    4,
    "--workers",
    0,
    "--device",
    "cpu",
    "--epoch-chips",
    8,
    "--lr",
    "0.01",
    "--split",
    "random",
    "--seed",
    3,
)


@pytest.fixture
def scene_and_labels(make_raster: MakeRaster) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 3, (12, 12)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    image = np.stack([np.where(labels == 1, high, 60) + rng.integers(0, 30, labels.shape) for high in (180, 90, 60)])
    scene = make_raster(image.astype(np.uint8), "ground.tif", colorinterp=("red", "green", "blue"))
    return scene, make_raster(labels[None], "truth.tif")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_from_options_to_a_model_and_on_from_there(
    run: Run, scene_and_labels: tuple[Path, Path], tmp_path: Path
) -> None:
    scene, truth = scene_and_labels
    model = tmp_path / "small.safetensors"
    options = (scene, "--labels", truth, "--classes", "field,wood", "-o", model, *SMALL, *SHORT)
    ran = run("train", *options, "--epochs", 2, "--licence", "CC0-1.0", "--progress", "json")
    assert ran.status == 0, ran.err
    assert ran.out.startswith(f"{model}: mIoU 0.")
    assert f"checkpoints in {tmp_path / 'small-run'}" in ran.out
    told = [json.loads(line) for line in ran.err.splitlines()]
    steps = [one for one in told if one["event"] == "progress"]
    assert {(one["stage"], one["unit"]) for one in steps} == {("fit", "steps")}
    assert steps[-1]["done"] == steps[-1]["total"]
    assert [one["message"][:10] for one in told if one.get("message", "").startswith("epoch")] == [
        "epoch 1/2:",
        "epoch 2/2:",
    ]
    assert (told[-1]["event"], told[-1]["outputs"]) == ("done", [str(model)])

    contract = read_contract(model)
    assert [item.name for item in contract.classes] == ["field", "wood"]
    assert contract.licence == "CC0-1.0"
    told = contract.provenance["configuration"]
    assert told["data"]["chip_size"] == 32
    assert told["learner"]["backbone"] == "mobilenet_v3_small"
    assert told["learner"]["class_balancing"] is False  # defaults are stated, too
    assert told["fit"]["epochs"] == 2

    assert not contract.int8_ranges
    again = run("train", *options, "--epochs", 2, "--resume", "--json", "--int8")
    assert again.status == 0, again.err
    facts = json.loads(again.out)
    assert facts["epochs"] == 2
    assert facts["metrics"] == contract.metrics
    network = load_model(model).network
    assert isinstance(network, SegmentationNetwork)
    assert set(read_contract(model).int8_ranges) == set(int8_convolutions(network))
    check_refusal(run("train", *options, "--epochs", 2), match="exists")

    labels = tmp_path / "labels.tif"
    assert run("segment", scene, "--label-raster", labels, "--model", model, "--precision", "fp32").status == 0
    assert labels.exists()


def test_one_file_holds_it_all_and_options_lie_on_top(
    run: Run, scene_and_labels: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, truth = scene_and_labels
    config, whole = tmp_path / "train.toml", tmp_path / "whole.toml"
    config.write_text(
        f"""
        [data]
        scenes = [{json.dumps(str(scene))}]
        labels = {json.dumps(str(truth))}
        chip_size = 64
        ignore_unknown = true
        augmentation = {{strength = 0.2, scale = [0.8, 1.25]}}
        [learner]
        weights = "none"
        ignore_classes = ["2"]
        [model]
        output = {json.dumps(str(tmp_path / "m.safetensors"))}
        """
    )
    ran = run("train", "--config", config, "--chip-size", 32, "--class-balancing", "--write-config", whole)
    assert (ran.status, ran.out) == (0, "")
    tables = tomllib.loads(whole.read_text())
    assert tables["data"]["chip_size"] == 32
    assert tables["data"]["labels"] == str(truth)
    assert tables["data"]["ignore_unknown"] is True
    assert tables["data"]["augmentation"] == {"strength": 0.2, "scale": [0.8, 1.25]}
    assert tables["learner"]["class_balancing"] is True
    assert tables["fit"]["ema_decay"] == 0.998
    known = known_keys()
    assert merge(known, read_config(whole, known)) == merge(known, tables)
    assert to_toml(merge(known, tables)) == whole.read_text()

    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        "geodeeplab.training.prepare.prepare_data", lambda chips, **told: seen.update(told, chips=chips)
    )
    train_command._prepare(merge(known, tables)["data"])
    assert seen["chips"] is None
    assert (seen["augmentation"].strength, seen["augmentation"].scale) == (0.2, (0.8, 1.25))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[data]\nchipsize = 3", "has the key 'chipsize' in \\[data\\], which has chips, .*chip_size"),
        ("[training]\nlr = 1", "has 'training', where tables are data, learner, fit, model"),
        ("lr = 1", "has 'lr', where tables are"),
        ("[data", "cannot be read .*: give the path of a TOML file"),
    ],
)
def test_keys_that_nobody_knows(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=match):
        read_config(path, known_keys())


def test_what_is_missing_is_said_before_any_work(run: Run, tmp_path: Path) -> None:
    check_refusal(run("train", "scene.tif", "--labels", "x.gpkg"), match="Missing option '-o'", status=2)
    check_refusal(
        run("train", "-o", tmp_path / "m.safetensors"), match="Give SCENEs with --labels, or --chips", status=2
    )
    check_refusal(run("train", "a.tif", "--labels", "x.gpkg", "-o", tmp_path / "m.pth"), match="'.pth'")
    check_refusal(run("train", "--config", tmp_path / "none.toml"), match="cannot be read")
