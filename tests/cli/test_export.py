"""`geodeeplab export`."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from geodeeplab.models import Contract, Normalisation, SegmentationNetwork, load_model, save_model

pytestmark = pytest.mark.xdist_group("onnx")  # one process loads the exporter, once
Run = Callable[..., Any]
Refused = Callable[..., None]


@pytest.fixture
def plain_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model without PointRend, which is quicker to export."""
    tiny = load_model(tiny_model)
    assert isinstance(tiny.network, SegmentationNetwork)
    network = SegmentationNetwork(tiny.network.backbone, tiny.network.classifier)
    architecture = {**tiny.contract.architecture, "pointrend": False}
    path = tmp_path / "plain.safetensors"
    save_model(network, dataclasses.replace(tiny.contract, architecture=architecture), path)
    return path


@pytest.mark.slow
def test_writes_a_file_and_says_which(run: Run, plain_model: Path, out: Path) -> None:
    path = out / "tiny.onnx"
    path.write_bytes(b"an older file")
    ran = run("export", plain_model, "-o", path, "--tile-size", 45, "--batch-size", 3, "--overwrite")
    assert (ran.status, ran.out, ran.err) == (0, f"{path}\n", "")
    assert [item.name for item in out.iterdir()] == ["tiny.onnx"]
    proto = onnx.load(path)
    assert [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim] == [3, 3, 45, 45]
    contract = Contract.from_json(proto.metadata_props[0].value)
    assert (contract.name, contract.overlap) == ("tiny", 22)
    model, images = load_model(plain_model), torch.rand(3, 3, 45, 45) * 255
    valid = torch.ones(3, 45, 45, dtype=torch.bool)
    with torch.inference_mode():
        expected = model.network(Normalisation(model.contract)(images, valid), valid).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["logits"], {"images": images.numpy()})[0], expected, atol=1e-3)
    assert np.ptp(expected) > 1


def test_outputs_are_checked_first(expect_refused: Refused, tiny_model: Path, out: Path, tmp_path: Path) -> None:
    (out / "there.onnx").touch()
    expect_refused("export", tiny_model, "-o", out / "there.onnx", match="there.onnx exists: pass --overwrite")
    expect_refused("export", tiny_model, "-o", out / "none" / "a.onnx", match="folder .* does not exist: create it")
    expect_refused("export", tiny_model, "-o", out / "a.pt", match="suffix '.pt'.*: use .onnx")
    expect_refused("export", tiny_model, match="Missing option '-o'", status=2)


def test_unknown_models_and_sizes(expect_refused: Refused, tiny_model: Path, out: Path) -> None:
    args = "-o", out / "a.onnx"
    expect_refused("export", "none.safetensors", *args, match="no file is called 'none.safetensors': choose one of")
    expect_refused("export", tiny_model, *args, "--tile-size", 0, match="--tile-size", status=2)
    expect_refused("export", tiny_model, *args, "--batch-size", "any", match="--batch-size", status=2)


def test_writes_a_stac_item(run: Run, expect_refused: Refused, tiny_model: Path, out: Path) -> None:
    ran = run("export", tiny_model, "-o", out / "item.json")
    assert (ran.status, ran.out, ran.err) == (0, f"{out / 'item.json'}\n", "")
    assert json.loads((out / "item.json").read_text())["properties"]["mlm:name"] == "tiny"
    args = "-o", out / "other.json", "--tile-size", 64
    expect_refused("export", tiny_model, *args, match="takes none of --for", status=2)


def test_a_program_needs_a_resolution(expect_refused: Refused, tiny_model: Path, out: Path) -> None:
    args = "-o", out / "a.onnx"
    expect_refused(
        "export", tiny_model, *args, "--for", "deepness", match="does not state its own: give .*--resolution"
    )
    expect_refused("export", tiny_model, *args, "--resolution", 30, match="written into files for deepness or geodeep")
    expect_refused("export", tiny_model, *args, "--for", "arcgis", match="--for", status=2)


def test_the_extra_is_named(
    expect_refused: Refused, tiny_model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    expect_refused(
        "export", tiny_model, "-o", out / "a.onnx", match=r"export needs .*: pip install 'geodeeplab\[onnx\]'"
    )
