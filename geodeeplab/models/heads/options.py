"""The heads by the names of their architectures, each with the numbers that it takes and their published values."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones import Backbone
from geodeeplab.models.heads.deeplabv1 import LargeFOVHead
from geodeeplab.models.heads.deeplabv2 import SummedASPPHead
from geodeeplab.models.heads.deeplabv3 import DeepLabV3Head
from geodeeplab.models.heads.deeplabv3plus import DeepLabV3PlusHead
from geodeeplab.models.heads.dilatednet import DilatedNetHead
from geodeeplab.models.heads.fcn import DilatedFCNHead, SkipFCNHead


def _skip_fcn(skips: int) -> Callable[..., nn.Module]:
    def head(backbone: Backbone, num_classes: int, *, fc_channels: int = 4096) -> nn.Module:
        return SkipFCNHead(backbone.channels[1:], num_classes, skips=skips, fc_channels=fc_channels)

    return head


def _fcn(backbone: Backbone, num_classes: int) -> nn.Module:
    return DilatedFCNHead(backbone.channels[-1], num_classes)


def _deeplabv1(
    backbone: Backbone,
    num_classes: int,
    *,
    atrous_rates: Sequence[int] | None = None,
    fov_kernel: int = 3,
    fc_channels: int = 1024,
) -> nn.Module:
    (rate,) = _rates(atrous_rates, backbone, published=(12,), at=8)
    return LargeFOVHead(
        backbone.channels[-1], num_classes, kernel_size=fov_kernel, rate=rate, hidden_channels=fc_channels
    )


def _deeplabv2(
    backbone: Backbone,
    num_classes: int,
    *,
    atrous_rates: Sequence[int] | None = None,
    fc_channels: int | None = None,
) -> nn.Module:
    rates = _rates(atrous_rates, backbone, published=(6, 12, 18, 24), at=8)
    return SummedASPPHead(backbone.channels[-1], num_classes, rates=rates, hidden_channels=fc_channels)


def _deeplabv3(
    backbone: Backbone,
    num_classes: int,
    *,
    atrous_rates: Sequence[int] | None = None,
    aspp_channels: int = 256,
    aspp_dropout: float = 0.5,
    extra_conv: bool = True,
) -> nn.Module:
    return DeepLabV3Head(
        backbone.channels[-1],
        num_classes,
        rates=_rates(atrous_rates, backbone, published=(6, 12, 18), at=16),
        aspp_channels=aspp_channels,
        aspp_dropout=aspp_dropout,
        extra_conv=extra_conv,
    )


def _deeplabv3plus(
    backbone: Backbone,
    num_classes: int,
    *,
    atrous_rates: Sequence[int] | None = None,
    aspp_channels: int = 256,
    aspp_dropout: float = 0.1,
    decoder_channels: int = 256,
    separable: bool = False,
) -> nn.Module:
    return DeepLabV3PlusHead(
        backbone.channels[-1],
        num_classes,
        low_level_channels=backbone.channels[0],
        rates=_rates(atrous_rates, backbone, published=(6, 12, 18), at=16),
        aspp_channels=aspp_channels,
        aspp_dropout=aspp_dropout,
        decoder_channels=decoder_channels,
        separable=separable,
    )


def _dilatednet(
    backbone: Backbone, num_classes: int, *, context: str | None = None, fc_channels: int = 4096
) -> nn.Module:
    return DilatedNetHead(backbone.channels[-1], num_classes, context=context, fc_channels=fc_channels)


HEADS: dict[str, Callable[..., nn.Module]] = {
    "fcn32s": _skip_fcn(0),
    "fcn16s": _skip_fcn(1),
    "fcn8s": _skip_fcn(2),
    "fcn": _fcn,
    "deeplabv1": _deeplabv1,
    "deeplabv2": _deeplabv2,
    "deeplabv3": _deeplabv3,
    "deeplabv3plus": _deeplabv3plus,
    "dilatednet": _dilatednet,
}


def accepted_options(arch: str, options: dict[str, Any]) -> dict[str, Any]:
    """Give the options that were set; refuse those that the architecture does not have."""
    chosen = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(HEADS[arch]).parameters
    for name in chosen:
        if name not in known:
            owners = [other for other, head in HEADS.items() if name in inspect.signature(head).parameters]
            raise ModelError(f"{name} is an option of {', '.join(owners)}: leave it out for {arch}")
    return chosen


def _rates(given: Sequence[int] | None, backbone: Backbone, *, published: Sequence[int], at: int) -> Sequence[int]:
    """Give the atrous rates in cells: those asked for, or the published ones scaled to the backbone's output stride."""
    if given is None:
        return [max(1, rate * at // backbone.strides[-1]) for rate in published]
    if len(published) == 1 and len(given) != 1:
        raise ModelError(f"DeepLabV1 has one atrous rate, not {len(given)}: give one, such as 12")
    if not given or any(rate < 1 for rate in given):
        raise ModelError(f"atrous rates are whole numbers from 1, not {tuple(given)}")
    return given
