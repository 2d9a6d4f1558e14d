"""Fitting a scene to a model's input contract: bands and value range, exactly or not at all."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from geodeeplab.errors import ContractError, OptionError, SceneError
from geodeeplab.models import Contract, ModelBand, ValueMap
from geodeeplab.raster import Band, Scene
from geodeeplab.raster.bands import describe_left_out
from geodeeplab.tiling import Shard

MOST_NAMED = 16
"""Bands that a message names."""
SAMPLE_WINDOWS = 12
"""Windows along each axis that stand for the scene where percentiles are asked for."""
SAMPLE_SIZE = 128
"""Pixels of such a window along each axis."""


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """Two values of the scene that are mapped onto the ends of the contract's range."""

    low: float
    """The lower value, or percentile."""
    high: float
    """The upper one."""
    is_percentile: bool = False
    """True where both are percentiles of the whole scene, band by band."""

    def __post_init__(self) -> None:
        """Check the order and the range.

        Raises:
            OptionError: if low is not below high, or a percentile is not within 0 to 100.
        """
        if not self.low < self.high:
            raise OptionError(f"rescale takes LOW below HIGH, not {self.low:g},{self.high:g}: give the lower one first")
        if self.is_percentile and not (self.low >= 0 and self.high <= 100):
            raise OptionError(f"percentiles lie within 0 and 100, not {self.low:g}%,{self.high:g}%: try 2%,98%")


def parse_rescale(value: str | Sequence[float] | None) -> Rescale | None:
    """Read `"LOW,HIGH"`, `"2%,98%"` or a pair of numbers.

    Raises:
        OptionError: if it is none of these.
    """
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else [str(part) for part in value]
    percent = [part.strip().endswith("%") for part in parts]
    try:
        low, high = (float(part.strip().removesuffix("%")) for part in parts)
    except ValueError as error:
        raise OptionError(f"rescale is two values or two percentiles, not {value!r}: try 0,3000 or 2%,98%") from error
    if percent[0] != percent[1] or not (np.isfinite(low) and np.isfinite(high)):
        raise OptionError(f"rescale is two finite values or two percentiles, not {value!r}: try 0,3000 or 2%,98%")
    return Rescale(low=low, high=high, is_percentile=percent[0])


def parse_scale(value: str | Sequence[float] | None) -> tuple[float, float] | None:
    """Read `"SCALE,OFFSET"`, `"SCALE"` or one or two numbers: physical value = number × scale + offset.

    Raises:
        OptionError: if it is none of these.
    """
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else list(map(str, value))
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not (1 <= len(numbers) <= 2 and numbers[0] > 0 and np.isfinite(numbers).all()):
        raise OptionError(f"scale is a factor above 0, and an offset if there is one, not {value!r}: try 0.0001,-0.1")
    return numbers[0], numbers[1] if len(numbers) == 2 else 0.0


def select_bands(scene: Scene, contract: Contract, bands: Sequence[str | int] | None) -> Scene:
    """Select the bands that the model reads, in its order; without those that are optional where the scene lacks one.

    The user's choice goes first, then the contract's names, then, for as many bands without any name, the position.

    Raises:
        ContractError: if the number of bands is wrong, or the scene's bands do not answer to the model's names.
        SceneError: if a band that the user named is not there.
    """
    wanted = contract.band_names
    required = [band.name for band in contract.bands if not band.is_optional]
    if bands is not None:
        if contract.channels_of(len(bands)) is None:
            without = f", or {len(required)} without {_optional(contract)}" if len(required) < len(wanted) else ""
            raise ContractError(
                f"model '{contract.name}' reads {len(wanted)} bands ({', '.join(wanted)}){without}, `bands=` names "
                f"{len(bands)}: name one for each, in this order"
            )
        return scene.select(list(bands))
    try:
        return scene.select(list(wanted))
    except SceneError as error:
        if len(required) < len(wanted):
            with suppress(SceneError):
                return scene.select(required)
        nameless = all(band.name == str(band.number) for band in scene.bands)
        if nameless and len(scene.bands) == len(wanted):
            return scene
        raise ContractError(
            f"scene '{scene.path}' has {_describe_bands(scene)}; model '{contract.name}' needs {', '.join(required)}: "
            f"pass `bands=` or choose a model for these bands{_channels_last_hint(scene)}"
        ) from error


def lacking_note(scene: Scene, contract: Contract) -> str | None:
    """Say which optional bands the model does without; None for none."""
    if len(scene.bands) == len(contract.bands):
        return None
    return f"the scene lacks {_optional(contract)}, which model '{contract.name}' can do without"


def _optional(contract: Contract) -> str:
    return ", ".join(band.name for band in contract.bands if band.is_optional)


def _describe_bands(scene: Scene) -> str:
    """Count and name the bands of a scene, and what is left out: `3 bands (red, green, blue) (+ alpha, left out)`."""
    count = len(scene.bands)
    names = [f"{band.name}, flagged alpha" if band.was_alpha else band.name for band in scene.bands]
    shown = names if count <= MOST_NAMED else [*names[:MOST_NAMED], "..."]
    return f"{count} band{'s' if count != 1 else ''} ({', '.join(shown)}){describe_left_out(scene.all_bands)}"


def _channels_last_hint(scene: Scene) -> str:
    """Say how to turn an array whose "width" could be its number of bands."""
    if scene.source.driver != "array" or not scene.shape[1] <= MOST_NAMED < len(scene.bands):
        return ""
    return "; if the array is (H, W, C), pass array.transpose(2, 0, 1)"


def rescale_note(scene: Scene, contract: Contract) -> str | None:
    """Say what rescaling the scene needs for the model; None if it needs none."""
    if all(_is_settled(band, trained, contract, scene) for band, trained in _band_pairs(scene, contract)):
        return None
    return _rescale_hint(scene, contract)


def value_map(
    scene: Scene, contract: Contract, rescale: Rescale | None, scale: tuple[float, float] | None = None
) -> ValueMap:
    """Decide how the scene's numbers become the model's.

    What was asked for goes first: `rescale` maps the numbers as they are in the scene onto the contract's range;
    `scale` is that of all bands, whatever the scene says. Else, band by band:

    - Model and scene both state scale and offset: the numbers are mapped by them, exactly and without a cut, whatever
      the data types. Sentinel-2's offset of −1000 comes out right in this way.
    - Only one of them does: the numbers are taken as they are if the data types are the same, which the note says; the
      scale may be missing in the one file or unused in the other, and no number tells which.
    - Neither does: the numbers are taken as they are if the data types are the same.

    Args:
        scene: the scene with the bands that the model reads, in its order.
        contract: the model's contract.
        rescale: what the user asked for.
        scale: scale and offset of the scene's bands, as the user stated them.

    Raises:
        ContractError: if the data types differ, and neither rescaling nor scales settle it; if a scale is 0, or of
            another sign than the model's; if a scale is stated for a model that states none.
        OptionError: for both `rescale` and `scale`.
        SceneError: if percentiles are asked for and no valid pixel is found.
    """
    if rescale is not None and scale is not None:
        raise OptionError("`rescale=` and `scale=` both say how numbers become the model's: leave one of them out")
    limits = None if rescale is None else rescale_limits(scene, contract, rescale)
    if limits is not None:
        return ValueMap.from_limits(contract, limits)
    if scale is not None:
        return ValueMap.from_pairs(contract, _stated_pairs(scene, contract, scale))
    if note := rescale_note(scene, contract):
        raise ContractError(f"scene '{scene.path}' needs rescaling: {note}")
    bands = _band_pairs(scene, contract)
    try:
        return ValueMap.from_pairs(contract, [_pair(*each) for each in bands], note=_scale_note(scene, contract))
    except ContractError as error:
        raise ContractError(f"scene '{scene.path}' and model '{contract.name}': {error}") from error


def rescale_limits(scene: Scene, contract: Contract, rescale: Rescale | None) -> list[tuple[float, float]] | None:
    """Give each band's (low, high) to map onto the contract's range, or None where the values are right as they are.

    Raises:
        ContractError: if the data types differ and no rescaling was asked for.
        SceneError: if percentiles are asked for and no valid pixel is found.
    """
    if rescale is None:
        if scene.dtype.name != contract.dtype:
            raise ContractError(f"scene '{scene.path}' needs rescaling: {_rescale_hint(scene, contract)}")
        return None
    if not rescale.is_percentile:
        return [(rescale.low, rescale.high)] * len(scene.bands)
    samples = sample_pixels(scene, to_take="percentiles", or_else="pass `rescale='LOW,HIGH'`")
    limits = np.percentile(samples, [rescale.low, rescale.high], axis=1)
    return [(float(low), float(high) if high > low else float(low) + 1.0) for low, high in limits.T]


def sample_pixels(scene: Scene, *, within: Shard | None = None, to_take: str, or_else: str) -> np.ndarray:
    """Read valid pixels (C, n), float64, n ≥ 1, from windows spread evenly over the scene; always the same.

    Args:
        scene: the scene with the bands to read.
        within: a block of it that they are spread over instead.
        to_take: what the samples are for, as the error says it.
        or_else: how to do without them, likewise.

    Raises:
        SceneError: if no valid pixel is found.
    """
    height, width = scene.shape
    spans = ((0, height), (0, width))
    if within is not None:
        spans = ((within.row_start, within.row_stop), (within.col_start, within.col_stop))
    sizes = [min(SAMPLE_SIZE, stop - start) for start, stop in spans]
    row_starts, col_starts = (
        np.unique(np.linspace(start, stop - size, SAMPLE_WINDOWS).astype(int))
        for (start, stop), size in zip(spans, sizes, strict=True)
    )
    found = []
    for row in row_starts:
        for col in col_starts:
            pixels = scene.read(Window(int(col), int(row), sizes[1], sizes[0]))
            found.append(pixels.array[:, pixels.valid].astype(np.float64))
    samples = np.concatenate(found, axis=1)
    if not samples.size:
        raise SceneError(
            f"no valid pixel was found in scene '{scene.path}' to take {to_take} of: "
            f"check its nodata value or mask, or {or_else}"
        )
    return samples


def _band_pairs(scene: Scene, contract: Contract) -> list[tuple[Band, ModelBand]]:
    """Give each band of the scene with the model's."""
    channels = contract.channels_of(len(scene.bands))
    assert channels is not None, "bands are selected for the model"
    return [(band, contract.bands[channel]) for band, channel in zip(scene.bands, channels, strict=True)]


def _is_scaled(band: Band) -> bool:
    return (band.scale, band.offset) != (1.0, 0.0)


def _is_settled(band: Band, trained: ModelBand, contract: Contract, scene: Scene) -> bool:
    """Tell whether it is known, without rescaling, how the band's numbers become the model's."""
    return (_is_scaled(band) and trained.is_scaled) or scene.dtype.name == contract.dtype


def _pair(band: Band, trained: ModelBand) -> tuple[float, float]:
    """Give (gain, offset) from the band's numbers to the model's."""
    if not (_is_scaled(band) and trained.is_scaled):
        return 1.0, 0.0
    return band.scale / trained.scale, (band.offset - trained.offset) / trained.scale


def _stated_pairs(scene: Scene, contract: Contract, scale: tuple[float, float]) -> list[tuple[float, float]]:
    """Give (gain, offset) of each band from numbers of a stated scale to the model's."""
    trained = [band for _, band in _band_pairs(scene, contract)]
    if not all(band.is_scaled for band in trained):
        raise ContractError(
            f"`scale=` gives physical values, and model '{contract.name}' was trained on plain numbers: pass "
            "`rescale='LOW,HIGH'` in its place"
        )
    return [(scale[0] / band.scale, (scale[1] - band.offset) / band.scale) for band in trained]


def _scale_note(scene: Scene, contract: Contract) -> str | None:
    """Say what was made of scales and offsets; None where nobody states any."""
    mapped, scene_only, model_only = [], [], []
    for band, trained in _band_pairs(scene, contract):
        gain, offset = _pair(band, trained)
        if (gain, offset) != (1.0, 0.0):
            mapped.append(f"{trained.name} × {gain:g} {'−' if offset < 0 else '+'} {abs(offset):g}")
        elif _is_scaled(band) and not trained.is_scaled:
            scene_only.append(trained.name)
        elif trained.is_scaled and not _is_scaled(band):
            model_only.append(trained.name)
    notes = [f"values mapped by scale and offset: {', '.join(mapped)}"] if mapped else []
    as_it_is = f"the {contract.dtype} values are taken as they are"
    if scene_only:
        notes.append(
            f"the scene states a scale or offset that the model does not ({', '.join(scene_only)}): {as_it_is}"
        )
    if model_only:
        notes.append(
            f"the model states a scale or offset that the scene does not ({', '.join(model_only)}): {as_it_is}"
        )
    return "; ".join(notes) or None


def _rescale_hint(scene: Scene, contract: Contract) -> str:
    """Say what rescaling to pass."""
    low, high = contract.value_range
    reads = f"model '{contract.name}' reads {contract.dtype}, the scene is {scene.dtype.name}"
    if all(band.is_scaled for band in contract.bands):
        return (
            f"{reads} and states no scale: pass `scale='SCALE,OFFSET'` (number × scale + offset is the physical value, "
            "such as reflectance)"
        )
    return (
        f"{reads}: pass `rescale='LOW,HIGH'` "
        f"(the scene's values that become {low:g} and {high:g}), or `rescale='2%,98%'`"
    )
