"""What was asked for: everything that the pixels of a run depend on, as the user put it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geodeeplab.errors import OptionError
from geodeeplab.raster import AoiLike, MaskLike, SceneLike

if TYPE_CHECKING:  # their package loads torch, and whoever looks at a scene alone needs none
    from geodeeplab.models import ContractLike, ModelLike
    from geodeeplab.models.crf import DenseCRF

DEFAULT_MODEL = "landcover-aerial"
"""The bundled model that a scene is segmented with where none is named."""

MIN_TILE_SIZE = 32
"""Below it a network sees next to nothing, and padding is most of the work; any scene is fine, down to 1 × 1."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of `segment` that decide pixels. With paths for scene, model and area it travels to workers."""

    scene: SceneLike
    """The scene, as `open_scene` takes it."""
    grid_crs: str | None = None
    """The coordinate reference system to warp the scene to, or None."""
    gsd_m: str | float | None = None
    """`native`, `model`, metres, or None: the model's where both are known and differ by more than a quarter."""
    mask: MaskLike | None = None
    """What hides pixels of the scene, as clouds: they are nodata; see `open_scene`."""
    aoi: AoiLike | None = None
    """Where labels are wanted; None for everywhere."""
    crop: bool | None = None
    """Whether outputs are cropped to the window around that; None: where it has less than 1 % of the scene's pixels."""
    bands: Sequence[str | int] | None = None
    """The scene's bands for the model's, by name or 1-based number."""
    rescale: str | Sequence[float] | None = None
    """The scene's values, or percentiles, that are mapped onto the model's range."""
    scale: str | Sequence[float] | None = None
    """Scale and offset of the scene's numbers, where the scene does not state them, such as 0.0001,-0.1."""
    model: "ModelLike" = DEFAULT_MODEL
    """The model."""
    contract: "ContractLike | None" = None
    """The contract of a model that carries none."""
    tile_size: int | None = None
    """Pixels of a tile along each axis; None for the model's."""
    overlap: int | None = None
    """Pixels that neighbouring tiles share; None for the model's."""
    blend: str = "hann"
    """`hann`, `linear` or `none`."""
    tta: str = "none"
    """`none`, `flips` or `d4`."""
    non_finite: str = "error"
    """`error` or `nodata`: what becomes of pixels whose logits are not finite."""
    crf: "DenseCRF | None" = None
    """The dense CRF, or None."""
    crf_bands: Sequence[str | int] | None = None
    """The bands that guide it."""
    classes: Sequence[str] | None = None
    """Names of the classes that are wanted; None for all."""
    min_confidence: float = 0.0
    """The least probability, 0 to 1, with which a class is given."""
    other: bool = False
    """Whether the rest is a class of its own, `other`, and not nodata."""
    with_confidence: bool = False
    """Whether the confidence is an output."""
    probabilities: str | None = None
    """Data type of the probabilities, if they are an output: `uint8` or `float16`."""
    with_boundary: bool = False
    """Whether the boundaries of objects are an output."""
    batch_size: int | None = None
    """Tiles per forward pass; None for what suits the device."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    precision: str = "auto"
    """`auto`, `fp32`, `bf16`, `fp16`, or `int8` (a CPU, the extra `openvino`, a model that is prepared for it)."""
    threads: int | None = None
    """Threads of each forward pass on a CPU; None for what suits the network."""
    compiled: bool = False
    """Whether the network is compiled first."""
    local_only: bool = False
    """Whether only files on disk are read, and none outside the folders of those that are named; see `open_scene`."""

    def __post_init__(self) -> None:
        """Check what can be known before any work.

        Raises:
            OptionError: for a number out of range, and for options that need another.
        """
        if self.batch_size is not None and self.batch_size < 1:
            raise OptionError(f"a batch has at least one tile, not {self.batch_size}: choose 1 or more")
        if self.tile_size is not None and self.tile_size < MIN_TILE_SIZE:
            raise OptionError(
                f"a tile has at least {MIN_TILE_SIZE} pixels a side, not {self.tile_size}: choose a larger one"
            )
        if self.crf_bands is not None and self.crf is None:
            raise OptionError("bands for the CRF need the CRF: pass `crf=True`, too")
        if self.other and self.classes is None and not self.min_confidence:
            raise OptionError(
                "a class `other` needs something that it stands for: pass `classes=` or `min_confidence=`, too"
            )


def stated_metres(gsd_m: str | float | None) -> float | None:
    """Give a pixel size if it is stated in metres: several files of unlike pixel sizes are then warped to it."""
    try:
        return None if gsd_m is None else float(gsd_m)
    except ValueError:
        return None
