"""Fitting the CRF to a run: its parameters, the tiles' overlap, the bands that guide it."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from typing import Any

from geodeeplab.errors import ContractError, GeoDeepLabWarning, OptionError
from geodeeplab.inference import CRFRefiner
from geodeeplab.models import Contract
from geodeeplab.models.crf import DenseCRF, Guide
from geodeeplab.pipeline.fit import sample_pixels
from geodeeplab.raster import Scene

BAND_LIMIT = 3
"""The most bands that guide the CRF as they are; of more, three principal components do."""


@dataclass(frozen=True, kw_only=True)
class CRFPlan:
    """What a run with the CRF does differently."""

    overlap: int
    """Pixels that neighbouring tiles share."""
    refine: CRFRefiner
    """What the engine does to the logits of each tile."""
    facts: dict[str, Any]
    """The parameters, the guide, the version of numba, and in `note` what was changed, or None."""


def plan_crf(
    crf: DenseCRF,
    scene: Scene,
    contract: Contract,
    *,
    limits: Sequence[tuple[float, float]] | None,
    bands: Sequence[str | int] | None,
    tile_size: int,
    overlap: int | None,
    threads: int = 1,
) -> CRFPlan:
    """Fit the CRF to tiles, model and scene.

    Args:
        crf: the parameters wanted.
        scene: the scene with the bands that the model reads.
        contract: the model's contract.
        limits: of each band, the values mapped onto the contract's range, where the scene is rescaled.
        bands: the bands that guide it, see `choose_guide`.
        tile_size: pixels of a tile along each axis.
        overlap: pixels that neighbouring tiles share, as stated; None takes the model's.
        threads: tiles that one call of `refine` works on at once.
    """
    wanted = contract.overlap if overlap is None else overlap
    fitted, enough, note = fit_to_tiles(crf, tile_size=tile_size, overlap=wanted)
    if note and (fitted != crf or overlap is not None):  # something that was asked for is not done
        warnings.warn(note, GeoDeepLabWarning, stacklevel=3)
    guide = choose_guide(scene, contract, limits=limits, bands=bands)
    facts = asdict(fitted) | {"guide": asdict(guide), "numba": version("numba"), "note": note}
    return CRFPlan(overlap=enough, refine=CRFRefiner(fitted, guide, threads=threads), facts=facts)


def parse_crf(text: str) -> DenseCRF:
    """Read `"w1=4,sxy=67,srgb=10"`; what is not named keeps its default.

    Raises:
        OptionError: for unknown names, and for values that are no numbers or out of range.
    """
    names = [field.name for field in fields(DenseCRF)]
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in names or name in values:
            raise OptionError(f"the CRF's parameters are {', '.join(names)}, once each, not {name!r}: try w1=4,sxy=67")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise OptionError(f"{name} of the CRF is a number, not {value!r}: try w1=4,sxy=67") from error
    crf = DenseCRF(**values)
    return replace(crf, iterations=int(crf.iterations))


def fit_to_tiles(crf: DenseCRF, *, tile_size: int, overlap: int) -> tuple[DenseCRF, int, str | None]:
    """Let neighbouring tiles share 2 · sxy pixels or more: messages from beyond a tile's edge hardly count then.

    Raises the overlap, up to half a tile; where that does not suffice, reduces sxy to a quarter of a tile.

    Returns:
        The CRF, the overlap, and what was changed in one line, or None.
    """
    notes, half = [], tile_size // 2
    fitted = replace(crf, sxy=min(crf.sxy, half / 2))
    if fitted != crf:
        notes.append(f"sxy reduced from {crf.sxy:g} to {fitted.sxy:g}, a quarter of the tile size")
    enough = max(overlap, math.ceil(2 * fitted.sxy))
    if enough > overlap:
        notes.append(f"overlap raised from {overlap} to {enough}, twice sxy")
    return fitted, enough, f"CRF: {', '.join(notes)}" if notes else None


def choose_guide(
    scene: Scene,
    contract: Contract,
    *,
    limits: Sequence[tuple[float, float]] | None,
    bands: Sequence[str | int] | None,
) -> Guide:
    """Choose what the CRF sees: the bands named, else all up to three, else three principal components of the scene.

    Args:
        scene: the scene with the bands that the model reads.
        contract: the model's contract; its value range becomes 0 to 255.
        limits: of each band, the values mapped onto the contract's range, where the scene is rescaled.
        bands: bands of the scene by name or 1-based number, among those that the model reads.

    Raises:
        ContractError: if the model does not read a band that is named.
        SceneError: if a band is not there, or no valid pixel is found to take components of.
    """
    per_band = list(limits) if limits is not None else [contract.value_range] * len(scene.bands)
    if bands is not None:
        read = [band.number for band in scene.bands]
        found = scene.select(list(bands)).bands
        if unread := [band.name for band in found if band.number not in read]:
            names = ", ".join(band.name for band in scene.bands)
            raise ContractError(
                f"the CRF is guided by bands that the model reads ({names}), not by {', '.join(unread)}: "
                "choose among them"
            )
        return Guide.of_bands(per_band, [read.index(band.number) for band in found])
    if len(scene.bands) <= BAND_LIMIT:
        return Guide.of_bands(per_band)
    samples = sample_pixels(scene, to_take="principal components", or_else="name the CRF's bands")
    return Guide.of_components(per_band, samples)
