import pytest

from geodeeplab.errors import ModelError
from geodeeplab.models import PUBLISHED, build_published, measure_cost
from tests.examples import few

PAPERS = {
    "fcn32s_vgg16": (134_346_581, 32),
    "dilatednet_vgg16": (134_346_581, 8),
    "dilatednet_vgg16_basic": (134_346_581 + 28_392, 8),
    "dilatednet_vgg16_large": (134_346_581 + 6_803_139, 8),
    "deeplabv1_vgg16_7x7": (134_346_581, 8),
    "deeplabv1_vgg16_largefov": (20_505_429, 8),
    "deeplabv2_vgg16_aspp_s": (37_877_652, 8),
    "deeplabv2_vgg16_aspp_l": (37_877_652, 8),
}
TORCHVISION = {  # its table: parameters without the auxiliary head, 10⁹ operations
    "fcn_resnet50": (32_957_013, 276.7, 8),
    "fcn_resnet101": (51_949_141, 431.9, 8),
    "deeplabv3_resnet50": (39_638_869, 327.2, 8),
    "deeplabv3_resnet101": (58_630_997, 482.3, 8),
    "deeplabv3_mobilenet_v3_large": (11_025_477, 19.7, 16),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_parameters_are_those_of_the_papers(name: str) -> None:
    cost = measure_cost(name)
    assert (cost.parameters, cost.output_stride) == PAPERS[name]


@pytest.mark.parametrize("name", few(reversed(TORCHVISION), 2))
def test_parameters_and_operations_are_those_of_torchvision(name: str) -> None:
    cost = measure_cost(name)
    assert (cost.parameters, round(cost.gflops, 1), cost.output_stride) == TORCHVISION[name]


@pytest.mark.slow
def test_every_published_network_can_be_built_and_counted() -> None:
    costs = {name: measure_cost(name) for name in PUBLISHED}
    assert all(cost.parameters > 10**7 and cost.gflops > 10 for cost in costs.values())
    assert costs["deeplabv3_resnet101_pointrend"].parameters > costs["deeplabv3_resnet101_paper"].parameters


def test_a_published_network_takes_other_classes_and_bands() -> None:
    network = build_published("deeplabv3_mobilenet_v3_large", num_classes=5, in_channels=4, pointrend=True)
    assert network.point_head is not None
    assert network.architecture["num_classes"] == 5
    assert network.architecture["in_channels"] == 4


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelError, match="no published network is called 'deeplabv9'"):
        build_published("deeplabv9")
