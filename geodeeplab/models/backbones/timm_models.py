"""Backbones of timm (extra `train`), called `timm:<name>`: dilated by our own pass, or at their native strides."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones.dilation import dilate
from geodeeplab.models.backbones.extractor import NATIVE_STRIDES, capped_strides

PREFIX = "timm:"


class TimmBackbone(nn.Module):
    """A network of timm as levels of native strides 4, 8, 16 and 32; keys are `body.` and timm's own."""

    def __init__(self, name: str, *, output_stride: int) -> None:
        """Take timm's name of the network.

        Raises:
            ModelError: without timm, for a name it does not know, for a network that has no maps of these strides, that
                cannot be dilated, or that takes images of one size only.
        """
        super().__init__()
        self.body = create_features(name)
        info: Any = self.body.feature_info
        native = tuple(info.reduction())
        if native[-4:] != NATIVE_STRIDES:
            raise ModelError(
                f"{PREFIX}{name} gives maps of strides {', '.join(map(str, native))}, a backbone those of 4, 8, 16 and "
                "32: choose a convolutional or hierarchical network"
            )
        self.channels: tuple[int, ...] = tuple(info.channels()[-4:])
        self.is_nhwc = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")
        self.strides: tuple[int, ...] = NATIVE_STRIDES
        self.origins: tuple[int, ...] = (0, 0, 0, 0)
        self._try(f"{PREFIX}{name} takes images of one size only")
        if output_stride < NATIVE_STRIDES[-1]:
            self.strides = capped_strides(output_stride)
            self._dilate(name, output_stride)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the levels of images (N, C, H, W), as `FeatureExtractor` does.

        Sides are padded with zeros to multiples of 32, which some networks insist on, and the levels cropped.
        """
        height, width = x.shape[-2:]
        maps = self.body(F.pad(x, (0, -width % 32, 0, -height % 32)))[-4:]
        maps = [level.permute(0, 3, 1, 2) for level in maps] if self.is_nhwc else maps
        return [
            level[..., : -(-height // stride), : -(-width // stride)]  # (N, C_i, ⌈H/s⌉, ⌈W/s⌉)
            for level, stride in zip(maps, self.strides, strict=True)
        ]

    def _dilate(self, name: str, output_stride: int) -> None:
        """Trade strides for dilation, and refuse what the pass did not reach."""
        refusal = f"{PREFIX}{name} cannot be dilated to output stride {output_stride}"
        try:
            found = dilate(self.body, output_stride)
        except ModelError as error:
            raise ModelError(f"{refusal} ({error})") from error
        if found != NATIVE_STRIDES[-1]:
            raise ModelError(
                f"{refusal}: its strides are not one chain of convolutions and pools, as in networks of patches, of "
                "attention or of parallel branches: use output stride 32, with `arch='deeplabv3plus'` for fine edges"
            )
        self._try(refusal)

    def _try(self, refusal: str) -> None:
        """Run a small image of an odd shape through the network, and refuse the network where that fails."""
        training = self.training
        try:
            with torch.no_grad():
                self.eval()(torch.zeros(1, 3, 64, 96))
        except (AssertionError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ModelError(f"{refusal} ({reason}): choose another network") from error
        finally:
            self.train(training)


def create_features(name: str, *, pretrained: bool = False) -> nn.Module:
    """Let timm build the network, by default untrained; of any image size where the network has that switch.

    Raises:
        ModelError: without timm, for a name it does not know, or for a network that has no maps. With `pretrained`,
            whatever is raised where no weights can be had, too.
    """
    try:
        import timm
    except ImportError as error:
        raise ModelError("backbones of timm need the package timm: pip install 'geodeeplab[train]'") from error
    if not timm.is_model(name):
        raise ModelError(f"timm knows no network {name!r}: timm.list_models() lists them")
    attempts: list[dict[str, Any]] = [{"strict_img_size": False}, {}]
    for switches in attempts:
        try:
            body: nn.Module = timm.create_model(name, pretrained=pretrained, features_only=True, **switches)
        except TypeError as error:
            if not switches:
                raise ModelError(f"timm gives no feature maps of {name!r} ({error}): choose another network") from error
        except (RuntimeError, AssertionError, AttributeError, ValueError) as error:
            if pretrained:  # it was built without weights before
                raise
            raise ModelError(f"timm gives no feature maps of {name!r} ({error}): choose another network") from error
        else:
            return body
    raise AssertionError("the last try returns or raises")
