"""The options that decide pixels, stated once for all who take them: `segment`, `preflight`, `DeepLab.predict`."""

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from geodeeplab.pipeline.request import Request
from geodeeplab.raster import AoiLike, MaskLike, SceneLike

if TYPE_CHECKING:
    from geodeeplab.models import ContractLike, ModelLike
    from geodeeplab.models.crf import DenseCRF

Function = TypeVar("Function", bound=Callable[..., Any])

FORMER_NAMES = {"output": "polygons", "labels": "label_raster"}
"""Outputs as they were called before 0.1, and what they are called now."""


class RunOptions(TypedDict, total=False):
    """Keywords of a run; the fields of `Request` of these names say what each means, and its default."""

    grid_crs: str | None
    gsd_m: str | float | None
    mask: MaskLike | None
    aoi: AoiLike | None
    crop: bool | None
    bands: Sequence[str | int] | None
    rescale: str | Sequence[float] | None
    scale: str | Sequence[float] | None
    model: "ModelLike"
    contract: "ContractLike | None"
    tile_size: int | None
    overlap: int | None
    blend: str
    tta: str
    crf: "bool | DenseCRF"
    crf_bands: Sequence[str | int] | None
    classes: Sequence[str] | None
    min_confidence: float
    other: bool
    batch_size: int | None
    device: str
    precision: str
    non_finite: str
    threads: int | None
    compiled: bool
    local_only: bool


def make_request(
    scene: SceneLike,
    options: RunOptions,
    *,
    with_confidence: bool = False,
    probabilities: str | None = None,
    with_boundary: bool = False,
) -> Request:
    """Make the request of a run from a scene, what users pass by keyword, and the rasters that are wanted.

    Raises:
        TypeError: for a keyword that is no option, as for any function.
        OptionError: for options that cannot be.
    """
    from geodeeplab.models.crf import DenseCRF

    for name in options:
        if name not in RunOptions.__annotations__:
            near = get_close_matches(name, RunOptions.__annotations__, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(f"got an unexpected keyword argument {name!r}{hint}")
    crf = options.get("crf", False)
    settled: dict[str, Any] = {**options, "crf": crf if isinstance(crf, DenseCRF) else DenseCRF() if crf else None}
    return Request(
        scene=scene,
        with_confidence=with_confidence,
        probabilities=probabilities,
        with_boundary=with_boundary,
        **settled,
    )


def take_former_names(options: RunOptions) -> dict[str, Any]:
    """Take the outputs out of the options that are named as they were before 0.1; give them by their present names."""
    stated = cast("dict[str, Any]", options)
    found = {now: stated.pop(former) for former, now in FORMER_NAMES.items() if former in stated}
    if found:
        warnings.warn(f"outputs are now called {', '.join(found)}", DeprecationWarning, stacklevel=3)
    return found


def stated_options(options: RunOptions) -> list[str]:
    """Name the options that are not at their defaults, in their order."""
    return [name for name in RunOptions.__annotations__ if name in options and not _is_default(name, options[name])]  # type: ignore[literal-required]


def with_run_options(function: Function) -> Function:
    """Show the options in a function's signature, in help and in notebooks, where it takes them as `**options`."""
    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    shown = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(name), annotation=annotation)
        for name, annotation in RunOptions.__annotations__.items()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
    return function


def _is_default(name: str, value: object) -> bool:
    default = _default(name)
    return value is default or (isinstance(value, str | int | float) and value == default)


def _default(name: str) -> object:
    return False if name == "crf" else _FIELDS[name].default


_FIELDS: dict[str, Field[Any]] = {one.name: one for one in fields(Request)}
