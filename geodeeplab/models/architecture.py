"""The numbers that a network is built from, checked once: what a model file may say of its network, and no more."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from geodeeplab.errors import ModelError
from geodeeplab.models.checks import (
    check_flag,
    check_name,
    check_number,
    check_sequence,
    check_whole,
    refuse_unknown,
    shown,
)

MAX_CLASSES = 255
MAX_BANDS = 65_535
"""As many as GDAL's rasters have."""
MAX_CHANNELS = 16_384
"""The widest layer; the papers' is 4096."""
MAX_PIXELS_PER_POINT = 65_536
MAX_RATE = 1024
"""The largest dilation; the papers' is 36."""

ARCHITECTURES = (
    "fcn32s",
    "fcn16s",
    "fcn8s",
    "fcn",
    "deeplabv1",
    "deeplabv2",
    "deeplabv3",
    "deeplabv3plus",
    "dilatednet",
)
HEAD_OPTIONS = (
    "atrous_rates",
    "aspp_channels",
    "aspp_dropout",
    "extra_conv",
    "decoder_channels",
    "separable",
    "fov_kernel",
    "fc_channels",
    "context",
)
"""Numbers that only some architectures have."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The arguments of `build_model`, which says what they mean, without the weights."""

    arch: str = "deeplabv3"
    """A name of `ARCHITECTURES`."""
    backbone: str = "resnet50"
    """A name of `geodeeplab.models.BACKBONES`, or `timm:<name>`."""
    num_classes: int
    """Classes, 2 to 255."""
    in_channels: int = 3
    """Bands of the images."""
    output_stride: int | None = None
    """Input pixels per feature pixel; None for the published one."""
    pointrend: bool = False
    """Refine with PointRend."""
    keep_dilation: bool = True
    """With PointRend, False leaves the backbone at its native stride."""
    fine_levels: Sequence[int] = (0,)
    """The levels that PointRend reads; −1 is the image."""
    multi_grid: Sequence[int] = (1, 1, 1)
    """Factors on the dilation of a ResNet's last blocks."""
    scales: Sequence[float] = (1.0,)
    """Sizes at which the image is seen."""
    atrous_rates: Sequence[int] | None = None
    """Of the DeepLabs."""
    aspp_channels: int | None = None
    """Of V3 and V3+."""
    aspp_dropout: float | None = None
    """Of V3 and V3+, 0 to 1."""
    extra_conv: bool | None = None
    """Of V3."""
    decoder_channels: int | None = None
    """Of V3+."""
    separable: bool | None = None
    """Of V3+."""
    fov_kernel: int | None = None
    """Of V1."""
    fc_channels: int | None = None
    """Of the FCNs on a VGG, V1, V2 and DilatedNet."""
    context: str | None = None
    """Of DilatedNet."""
    point_channels: int = 256
    """Width of PointRend's MLP."""
    pixels_per_point: int = 256
    """Pixels for each point that PointRend computes, 1 to 65536."""
    boundary: bool = False
    """Give the logit of objects' boundaries after those of the classes."""

    def __post_init__(self) -> None:
        """Check types and ranges; what does not go together is refused where the network is built.

        Raises:
            ModelError: for a value of another type, or out of its range.
        """
        try:
            self._check()
        except TypeError as error:
            raise ModelError(f"{error}: correct the architecture") from error
        for name in ("fine_levels", "multi_grid", "scales", "atrous_rates"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Architecture":
        """Make one of plain values, as a model file has them; `num_classes` is needed.

        Raises:
            ModelError: for a key that nobody knows, such as a path of weights, and see above.
        """
        try:
            refuse_unknown(values, "the architecture", [field.name for field in fields(cls)])
        except TypeError as error:
            raise ModelError(f"{error}: save the model again") from error
        if "num_classes" not in values:
            raise ModelError("the architecture states num_classes, and here it is missing: save the model again")
        return cls(**values)

    @property
    def head_options(self) -> dict[str, Any]:
        """Those numbers that only some architectures have; None where they were not set."""
        return {name: getattr(self, name) for name in HEAD_OPTIONS}

    def to_mapping(self) -> dict[str, Any]:
        """Give what differs from the defaults, and always architecture, backbone, classes and bands; as JSON has it.

        Law: `from_mapping` gives the same back.
        """
        stated = {"arch": self.arch, "backbone": self.backbone, "in_channels": self.in_channels}
        defaults = {field.name: field.default for field in fields(self)}
        for name, value in asdict(self).items():
            if defaults[name] is MISSING or value != defaults[name]:
                stated[name] = list(value) if isinstance(value, tuple) else value
        return stated

    def _check(self) -> None:
        if self.arch not in ARCHITECTURES:
            raise ModelError(f"no architecture is called {shown(self.arch)}: choose one of {', '.join(ARCHITECTURES)}")
        check_name(self.backbone, "the backbone")
        is_whole = isinstance(self.num_classes, int) and not isinstance(self.num_classes, bool)
        if not is_whole or not 2 <= self.num_classes <= MAX_CLASSES:
            raise ModelError(f"a model has 2 to {MAX_CLASSES} classes, not {shown(self.num_classes)}")
        for name, low, high in (
            ("in_channels", 1, MAX_BANDS),
            ("point_channels", 1, MAX_CHANNELS),
            ("pixels_per_point", 1, MAX_PIXELS_PER_POINT),
        ):
            check_whole(getattr(self, name), name, low, high)
        for name, low, high in (
            ("output_stride", 8, 32),
            ("aspp_channels", 1, MAX_CHANNELS),
            ("decoder_channels", 1, MAX_CHANNELS),
            ("fc_channels", 1, MAX_CHANNELS),
            ("fov_kernel", 1, 15),
        ):
            if getattr(self, name) is not None:
                check_whole(getattr(self, name), name, low, high)
        for name in ("pointrend", "keep_dilation", "boundary"):
            check_flag(getattr(self, name), name)
        for name in ("extra_conv", "separable"):
            if getattr(self, name) is not None:
                check_flag(getattr(self, name), name)
        if self.context is not None:
            check_name(self.context, "context")
        self._check_dropout()
        self._check_lists()

    def _check_dropout(self) -> None:
        if self.aspp_dropout is not None:
            check_number(self.aspp_dropout, "aspp_dropout")
            if not 0 <= self.aspp_dropout <= 1:
                raise ModelError(f"aspp_dropout is a share from 0 to 1, not {shown(self.aspp_dropout)}: correct it")

    def _check_lists(self) -> None:
        for name, most, high in (
            ("fine_levels", 16, 255),
            ("multi_grid", 64, MAX_RATE),
            ("atrous_rates", 16, MAX_RATE),
        ):
            values = getattr(self, name)
            if values is None or (name == "fine_levels" and isinstance(values, Sequence) and not values):
                continue  # PointRend says what it reads
            check_sequence(values, name, most)
            for value in values:
                if name == "atrous_rates" and isinstance(value, int) and value < 1:
                    raise ModelError(f"atrous rates are whole numbers from 1, not {shown(tuple(values))}")
                check_whole(value, f"each of {name}", -1 if name == "fine_levels" else 1, high)
        check_sequence(self.scales, "scales", 16)
        for scale in self.scales:
            check_number(scale, "each of scales")
        if self.scales[0] != 1 or any(not 0 < scale <= 4 for scale in self.scales):
            raise ModelError(
                f"scales begin with 1 and lie above 0, up to 4, not {shown(tuple(self.scales))}: such as 1, 0.75, 0.5"
            )
