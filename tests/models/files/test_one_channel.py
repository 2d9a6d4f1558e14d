"""Networks of one channel, and what their values are: logits or probabilities."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.inference import Decision
from geodeeplab.models import Contract, ModelBand, ModelClass, as_model, export_onnx
from geodeeplab.models.files.foreign import BACKGROUND

HOUSE = ModelClass(id=1, name="house", color=(200, 0, 0))
REST = ModelClass(id=7, name="rest", color=(0, 200, 0))
BANDS = (ModelBand(name="grey", mean=100.0, std=50.0),)
ONE = Contract(name="one", classes=(HOUSE,), bands=BANDS, tile_size=32, overlap=0)
TWO = replace(ONE, classes=(REST, HOUSE))


class Head(nn.Module):
    """Twice the image, half as large, through an activation."""

    def __init__(self, channels: int = 1, activation: nn.Module | None = None, *, is_hidden: bool = False) -> None:
        super().__init__()
        self.channels, self.activation, self.is_hidden = channels, activation or nn.Identity(), is_hidden

    def forward(self, x: Tensor) -> Tensor:
        signs = torch.tensor([2.0, -2.0, 1.0, 0.5])[: self.channels].view(1, -1, 1, 1)
        values: Tensor = self.activation(x[:, :, ::2, ::2] * signs)
        return values * 1.0 if self.is_hidden else values


def ramp() -> Tensor:
    return torch.linspace(-2, 2, 32 * 32).view(1, 1, 32, 32)


@pytest.mark.parametrize("activation", [None, nn.Sigmoid()])
@pytest.mark.parametrize(
    ("contract", "names"),
    [(ONE, [BACKGROUND, "house"]), (TWO, ["rest", "house"]), (replace(TWO, positive="rest"), ["house", "rest"])],
)
def test_one_channel_is_a_sigmoid_of_the_last_or_the_positive_class(
    activation: nn.Module | None, contract: Contract, names: list[str]
) -> None:
    model = as_model(Head(1, activation), contract)
    assert [item.name for item in model.contract.classes] == names
    logits = model.network(ramp())
    expected = nn.functional.interpolate((2 * ramp()[:, :, ::2, ::2]), (32, 32), mode="bilinear", align_corners=False)
    assert torch.allclose(logits.softmax(1)[:, 1:], expected.sigmoid(), atol=1e-5)
    assert model.contract.output == (None if activation is None else "probabilities")
    again = as_model(Head(1, activation), model.contract)  # as workers get it
    assert torch.equal(again.network(ramp()), logits)
    assert again.contract == model.contract


def test_the_rest_gets_a_free_id_and_a_half_is_no_house() -> None:
    model = as_model(Head(), ONE)
    assert [item.id for item in model.contract.classes] == [2, 1]
    decision = Decision(class_ids=(2, 1), with_confidence=True)
    out = decision(torch.tensor([[0.0] * 3, [-1e-6, 0.0, 4.0]]).view(2, 1, 3), torch.ones(1, 3, dtype=torch.bool))
    assert out["labels"].tolist() == [[2, 2, 1]]
    assert out["confidence"].tolist() == [[50, 50, 98]]


def test_a_softmax_is_recognised_by_its_operation_or_its_sum() -> None:
    contract = replace(TWO, classes=(REST, HOUSE, ModelClass(id=3, name="road", color=(1, 1, 1))))
    expected = as_model(Head(3), contract).network(ramp()).softmax(1)
    for hidden in (False, True):
        model = as_model(Head(3, nn.Softmax(1), is_hidden=hidden), contract)
        assert model.contract.output == "probabilities"
        assert torch.allclose(model.network(ramp()).softmax(1), expected, atol=0.02)


def test_what_nobody_can_tell_is_asked_for() -> None:
    hidden = Head(1, nn.Sigmoid(), is_hidden=True)
    with pytest.raises(ModelError, match=r'logits or probabilities: say which .* output "logits" or "probabilities"'):
        as_model(hidden, ONE)
    as_probabilities = as_model(hidden, replace(ONE, output="probabilities"))
    assert torch.allclose(
        as_probabilities.network(ramp()), as_model(Head(1, nn.Sigmoid()), ONE).network(ramp()), atol=1e-5
    )
    as_logits = as_model(hidden, replace(ONE, output="logits"))
    assert as_logits.network(ramp())[:, 1].max() <= 1


@pytest.mark.parametrize(
    ("module", "contract", "match"),
    [
        (Head(1), replace(ONE, output="probabilities"), r"probabilities by its contract, but values from .*say output"),
        (Head(1, nn.Sigmoid()), replace(ONE, output="logits"), r'but ends in a sigmoid: say output "probabilities"'),
        (Head(1, nn.Softmax(1)), ONE, "softmax over one channel"),
        (Head(2), ONE, r"not \(1, 2, 16, 16\): correct the contract's classes, which also name the background"),
        (Head(2), replace(TWO, positive="house"), "positive is said of a network of one channel"),
        (
            Head(1),
            replace(TWO, classes=(*TWO.classes, ModelClass(id=3, name="road", color=(1, 1, 1)))),
            "tells one class from the rest, so it has one or two",
        ),
    ],
)
def test_what_does_not_agree_is_refused(module: nn.Module, contract: Contract, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        as_model(module, contract)


@pytest.mark.parametrize("operation", ["Sigmoid", "Identity"])
def test_a_graph_of_one_channel(tmp_path: Path, operation: str) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["y"]),
        helper.make_node(operation, ["y"], ["z"]),
        helper.make_node("Identity", ["z"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, "h", "w"))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(torch.tensor(2.0).numpy(), "two")],
    )
    path = tmp_path / "a.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    model = as_model(path, ONE)
    assert model.contract.output == ("probabilities" if operation == "Sigmoid" else None)
    assert torch.allclose(model.network(ramp()).softmax(1)[:, 1:], (2 * ramp()).sigmoid(), atol=1e-5)


@pytest.mark.xdist_group("onnx")  # one process loads the exporter, once
def test_an_exported_network_of_one_channel_gives_logits_of_both_classes(tmp_path: Path) -> None:
    model = as_model(Head(1, nn.Sigmoid()), ONE)
    export_onnx(model.network, model.contract, tmp_path / "a.onnx", batch_size=1)
    exported = as_model(tmp_path / "a.onnx")
    assert [item.name for item in exported.contract.classes] == [BACKGROUND, "house"]
    assert exported.contract.output is None
    pixels, valid = ramp() * 50 + 100, torch.ones(1, 32, 32, dtype=torch.bool)
    assert torch.allclose(exported.network(pixels), model.network(ramp(), valid), atol=1e-4)
    with pytest.raises(ModelError, match="export the network and the contract of gdl"):
        export_onnx(Head(1, nn.Sigmoid()), model.contract, tmp_path / "b.onnx")
