"""ONNX files as models, on onnxruntime."""

import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from geodeeplab.errors import GeoDeepLabWarning, ModelError, OptionError
from geodeeplab.models import (
    Contract,
    Model,
    ModelBand,
    ModelClass,
    OnnxNetwork,
    as_model,
    export_onnx,
    load_model,
    read_contract,
)
from geodeeplab.models.files.onnx_model import CPU, providers_for

CONTRACT = Contract(
    name="foreign",
    classes=tuple(ModelClass(id=i, name=f"class {i}", color=(i, i, i)) for i in (1, 2, 3)),
    bands=(ModelBand(name="red", mean=100.0, std=50.0), ModelBand(name="nir", mean=20.0, std=10.0)),
    tile_size=32,
    overlap=8,
)
WEIGHT = np.array([[1, 2], [-3, 1], [0.5, -4]], dtype=np.float32)
"""(K, C) of the only convolution."""
Side = int | str


def write_graph(
    path: Path,
    shape: Sequence[Side] = ("N", 2, "H", "W"),
    *,
    stride: int = 1,
    outputs: Sequence[str] = ("scores",),
    dtype: int = TensorProto.FLOAT,
    more_inputs: Sequence[str] = (),
    node: str = "Conv",
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a graph that gives every pixel (or every `stride`-th) WEIGHT times its bands."""
    kernel: dict[str, Any] = {"kernel_shape": [1, 1], "strides": [stride, stride]}
    weight = numpy_helper.from_array(WEIGHT[:, :, None, None], "weight")
    first = [helper.make_node(node, ["x", "weight"], [outputs[0]], **(kernel if node == "Conv" else {}))]
    first += [helper.make_node("Identity", [outputs[0]], [name]) for name in outputs[1:]]
    graph = helper.make_graph(
        first,
        "graph",
        [helper.make_tensor_value_info(name, dtype, shape) for name in ("x", *more_inputs)],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [weight],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(proto, metadata or {})
    onnx.save(proto, path)
    return path


def draw(batch: int = 2, size: int = 32) -> tuple[Tensor, Tensor]:
    pixels = torch.randint(0, 256, (batch, 2, size, size), generator=torch.Generator().manual_seed(1)).byte()
    valid = torch.ones(batch, size, size, dtype=torch.bool)
    valid[:, :5] = False
    return pixels, valid


def run(model: Model, pixels: Tensor, valid: Tensor) -> Tensor:
    logits: Tensor = model.network(model.preparation()(pixels, valid), valid)
    return logits


def test_a_graph_from_elsewhere_gets_normalised_images(tmp_path: Path) -> None:
    model = as_model(write_graph(tmp_path / "a.onnx"), CONTRACT)
    assert isinstance(model.network, OnnxNetwork)
    assert (model.input, model.fixed_tile_size, model.fixed_batch) == ("normalised", None, None)
    assert (model.contract, model.precisions) == (CONTRACT, ("fp32",))
    pixels, valid = draw()
    red, nir = (pixels[:, 0].double() - 100) / 50, (pixels[:, 1].double() - 20) / 10
    images = torch.stack([red, nir], 1) * valid[:, None]
    expected = torch.einsum("kc,nchw->nkhw", torch.from_numpy(WEIGHT).double(), images)
    assert torch.allclose(run(model, pixels, valid).double(), expected, atol=1e-4)


def test_coarse_logits_are_upsampled(tmp_path: Path) -> None:
    model = as_model(write_graph(tmp_path / "a.onnx", stride=4), CONTRACT)
    images = torch.ones(1, 2, 32, 32)
    logits = model.network(images)
    assert logits.shape == (1, 3, 32, 32)
    assert torch.allclose(logits[0, :, 7, 9], torch.tensor([3.0, -2.0, -3.5]))


def test_sizes_that_the_graph_fixes_are_kept(tmp_path: Path) -> None:
    model = as_model(write_graph(tmp_path / "a.onnx", (3, 2, 24, 24)), CONTRACT)
    assert (model.fixed_tile_size, model.fixed_batch) == (24, 3)
    assert (model.contract.tile_size, model.contract.overlap) == (24, 8)
    assert run(model, *draw(3, 24)).shape == (3, 3, 24, 24)
    with pytest.raises(OptionError, match="tiles of 24 px only"):
        model.settle_tile_size(32)


def test_the_output_called_logits_is_taken_of_several(tmp_path: Path) -> None:
    model = as_model(write_graph(tmp_path / "a.onnx", outputs=["features", "out"]), CONTRACT)
    assert isinstance(model.network, OnnxNetwork)
    assert model.network.graph.output_name == "out"


def test_it_can_be_pickled_and_runs_the_same_at_any_batch_and_thread_count(tmp_path: Path) -> None:
    model = as_model(write_graph(tmp_path / "a.onnx"), CONTRACT)
    network, (pixels, valid) = model.network, draw(4)
    expected = run(model, pixels, valid)
    images = model.preparation()(pixels, valid)
    threads = torch.get_num_threads()
    copied = pickle.loads(pickle.dumps(network))
    try:
        torch.set_num_threads(1)
        assert torch.equal(torch.cat([network(images[i : i + 1]) for i in range(4)]), expected)
        assert torch.equal(copied(images.contiguous(memory_format=torch.channels_last)), expected)
    finally:
        torch.set_num_threads(threads)
    assert isinstance(network, OnnxNetwork)
    assert {key[1] for key in network._sessions} == {1, threads}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"shape": ("N", "H", "W", 2)}, r"reads \w+|takes|does not"),
        ({"shape": ("N", 3, "H", "W")}, r"reads 3 bands, the contract names 2 \(red, nir\)|cannot read"),
        ({"shape": ("N", 2, 24, 32)}, r"tiles are square: export the network for square images"),
        ({"shape": ("N", 2, 24)}, r"one float32 input \(N, C, H, W\)|cannot read"),
        ({"dtype": TensorProto.DOUBLE}, r"cannot read|'x' tensor\(double\)"),
        ({"more_inputs": ["mask"]}, r"takes 'x' .*, 'mask' .*one float32 input"),
        ({"outputs": ["a", "b"]}, "gives 'a' .*, 'b' .*or calls it logits or out"),
        ({"outputs": ["logits", "out"]}, "gives 'logits' .*, 'out' .*gives one output"),
        ({"node": "Add"}, "does not take|not"),
    ],
)
def test_what_is_no_segmentation_network_is_refused(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        as_model(write_graph(tmp_path / "a.onnx", **options), CONTRACT)


def test_the_number_of_classes_is_checked(tmp_path: Path) -> None:
    two = Contract(name="two", classes=CONTRACT.classes[:2], bands=CONTRACT.bands, tile_size=32, overlap=0)
    with pytest.raises(ModelError, match=r"2 classes by its contract, .*not \(1, 3, 32, 32\): correct"):
        as_model(write_graph(tmp_path / "a.onnx"), two)


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"a\.onnx carries no GeoDeepLab contract: pass one"):
        as_model(path)
    with pytest.raises(ModelError, match=r"a\.onnx carries no GeoDeepLab contract: write one"):
        read_contract(path)
    with pytest.raises(ModelError, match="is an ONNX file, not a model file"):
        load_model(path)
    with pytest.raises(ModelError, match=r"a\.onnx: the model file's contract is not readable"):
        as_model(write_graph(path, metadata={"geodeeplab": "{}"}))
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"onnxruntime cannot read .*: export the network again"):
        as_model(path, CONTRACT)
    with pytest.raises(ModelError, match=r"or give the path of a \.safetensors or \.onnx file"):
        as_model(tmp_path / "none.onnx", CONTRACT)


def test_weights_beside_the_file_belong_to_it(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx")
    inside = as_model(path, CONTRACT)
    assert inside.files == (path,)
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="a.weights",
        size_threshold=0,
        convert_attribute=False,
    )
    model, images = as_model(path, CONTRACT), torch.ones(1, 2, 32, 32)
    assert model.files == (path, tmp_path / "a.weights")
    assert torch.equal(model.network(images), inside.network(images))
    before = model.checksum
    (tmp_path / "a.weights").write_bytes(WEIGHT[::-1].tobytes())
    assert as_model(path, CONTRACT).checksum != before


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_graph(tmp_path / "a.onnx")
    model = as_model(path, CONTRACT)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OptionError, match=r"needs onnx: pip install 'geodeeplab\[onnx\]'"):
        _ = model.checksum
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OptionError, match=r"runs with onnxruntime: pip install 'geodeeplab\[onnx\]'"):
        as_model(path, CONTRACT)


def test_a_device_that_onnxruntime_does_not_know_is_said() -> None:
    assert providers_for(torch.device("cpu")) == [CPU]
    with pytest.warns(GeoDeepLabWarning, match="cannot compute on mps, so the network runs on the CPU"):
        assert providers_for(torch.device("mps")) == [CPU]


def test_cuda_where_onnxruntime_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    (name, options), last = providers_for(torch.device("cuda:1"))
    assert (name, options["device_id"], last) == ("CUDAExecutionProvider", "1", CPU)


def test_a_file_with_its_contract_takes_pixels_as_they_are(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx", ("N", 2, 24, 24), metadata={"geodeeplab": CONTRACT.to_json()})
    model = as_model(path)
    assert read_contract(path) == CONTRACT
    assert (model.contract.tile_size, model.fixed_tile_size, model.fixed_batch) == (24, 24, None)
    assert model.input == "raw"
    pixels, valid = draw(2, 24)
    expected = torch.einsum("kc,nchw->nkhw", torch.from_numpy(WEIGHT), pixels.float())
    logits = run(model, pixels, valid).movedim(1, -1)
    assert torch.equal(logits[valid], expected.movedim(1, -1)[valid])
    assert logits[~valid].isnan().all()
    with pytest.raises(OptionError, match="carries its own contract: leave out"):
        as_model(path, CONTRACT)


@pytest.mark.slow
def test_an_exported_file_gives_the_labels_of_the_model_file(tiny_model: Path, tmp_path: Path) -> None:
    tiny, path = load_model(tiny_model), tmp_path / "tiny.onnx"
    export_onnx(tiny.network, tiny.contract, path, tile_size=96)
    pixels = torch.randint(0, 256, (2, 3, 12, 12), generator=torch.Generator().manual_seed(0)).byte()
    pixels = pixels.repeat_interleave(8, 2).repeat_interleave(8, 3)
    valid = torch.ones(2, 96, 96, dtype=torch.bool)
    valid[:, :20, :30] = False
    with torch.inference_mode():
        got, want = (run(model, pixels, valid) for model in (as_model(path), tiny))
    assert (got.argmax(1) == want.argmax(1)).float().mean() >= 0.999
    assert len(want.argmax(1).unique()) > 1
