"""`preflight`: what a scene holds, what a model needs of it, and what a run will take; nothing is written.

With a model it opens the same plan as `segment`, so what it says is what `segment` does. Without one it needs no torch.
"""

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from geodeeplab.errors import ContractError, GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.pipeline.info.scene_facts import SceneFacts, describe_scene
from geodeeplab.raster import Scene, SceneLike, open_scene

if TYPE_CHECKING:
    from geodeeplab.models import Contract, ContractLike, ModelLike
    from geodeeplab.models.crf import DenseCRF
    from geodeeplab.pipeline.info.forecast import Forecast
    from geodeeplab.pipeline.plan import Plan
    from geodeeplab.pipeline.request import Request
    from geodeeplab.raster.polygons.aoi import AoiLike


@dataclass(frozen=True, kw_only=True)
class ModelFit:
    """A model beside a scene."""

    name: str
    """The model's name."""
    reads: tuple[str, ...]
    """Names of the bands that it reads, in its order."""
    scene_bands: tuple[int, ...] | None
    """Numbers of the scene's bands for them; None where they were not found."""
    dtype: str
    """Data type of its training scenes."""
    gsd_m: float | None
    """Ground sample distance of its training scenes in metres; None where it is not known."""
    seen_gsd_m: float | None
    """What the scene is scaled to for it, in metres; None where it is taken as it is."""
    value_range: tuple[float, float]
    """The values that its training scenes span."""
    limits: tuple[tuple[float, float], ...] | None
    """The scene's values, band by band, that become the ends of that range; None where they are taken as they are."""
    classes: tuple[str, ...]
    """Names of its classes."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """All that is known before a run."""

    scene: SceneFacts
    """What the scene holds."""
    model: ModelFit | None
    """The model beside it; None where none was given."""
    run: "Forecast | None"
    """What the run will take; None without a model, or where it cannot run whatever the values."""
    needs: tuple[str, ...]
    """What is missing before `segment` takes scene and model together; empty where it does."""
    notes: tuple[str, ...]
    """What `segment` would tell, too."""

    def to_json(self) -> str:
        """Write everything as one JSON object; numbers that JSON does not have, such as NaN, as text."""
        return json.dumps(_plain(asdict(self)), indent=2, default=str, allow_nan=False)


def preflight(
    scene: SceneLike,
    *,
    model: "ModelLike | None" = None,
    contract: "ContractLike | None" = None,
    bands: Sequence[str | int] | None = None,
    rescale: str | Sequence[float] | None = None,
    gsd_m: str | float | None = None,
    grid_crs: str | None = None,
    aoi: "AoiLike | None" = None,
    classes: Sequence[str] | None = None,
    tile_size: int | None = None,
    overlap: int | None = None,
    tta: str = "none",
    crf: "bool | DenseCRF" = False,
    crf_bands: Sequence[str | int] | None = None,
    with_confidence: bool = False,
    probabilities: str | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    folder: str | os.PathLike[str] = ".",
) -> Preflight:
    """Tell what a scene holds and, with a model, whether and how `segment` will run on it.

    A few forward passes are run and timed. What `segment` would refuse about the scene is listed in `needs`.

    Args:
        scene: as `segment` takes it.
        model: as `segment` takes it; without one only the scene is looked at.
        contract: see `segment`, as all that follows but the last.
        bands: the scene's bands for the model's.
        rescale: the scene's values, or percentiles, for the ends of the model's range.
        gsd_m: `native`, `model` or metres.
        grid_crs: the coordinate reference system to warp the scene to.
        aoi: where labels are wanted.
        classes: names of the classes that are wanted.
        tile_size: pixels of a tile along each axis.
        overlap: pixels that neighbouring tiles share.
        tta: `none`, `flips` or `d4`.
        crf: refine with the dense CRF.
        crf_bands: the bands that guide it.
        with_confidence: whether the confidence is to be written.
        probabilities: their data type, `uint8` or `float16`, if they are to be written.
        batch_size: tiles per forward pass.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        compiled: compile the network first.
        folder: where the outputs are to go, for the free disk.

    Raises:
        SceneError: if the scene cannot be opened, or read.
        ModelError: if the model cannot be used.
        OptionError: for options that cannot be.
    """
    with _each_warning_once():
        if model is None:
            for_a_model = {"contract": contract, "bands": bands, "rescale": rescale, "aoi": aoi, "classes": classes}
            for_a_model |= {"tile_size": tile_size, "overlap": overlap, "crf": crf or None, "batch_size": batch_size}
            _refuse_without_model([name for name, value in for_a_model.items() if value is not None])
            facts = _look(scene, grid_crs=grid_crs, gsd_m=gsd_m)
            return Preflight(scene=facts, model=None, run=None, needs=(), notes=())

        from geodeeplab.models.crf import DenseCRF
        from geodeeplab.pipeline.request import Request

        request = Request(
            scene=scene,
            grid_crs=grid_crs,
            gsd_m=gsd_m,
            aoi=aoi,
            bands=bands,
            rescale=rescale,
            model=model,
            contract=contract,
            tile_size=tile_size,
            overlap=overlap,
            tta=tta,
            crf=crf if isinstance(crf, DenseCRF) else DenseCRF() if crf else None,
            crf_bands=crf_bands,
            classes=classes,
            with_confidence=with_confidence,
            probabilities=probabilities,
            batch_size=batch_size,
            device=device,
            precision=precision,
            compiled=compiled,
        )
        return _check(request, folder=folder)


def preflight_request(request: "Request", *, folder: str | os.PathLike[str] = ".") -> Preflight:
    """Tell how `segment` will run a request; see `preflight`."""
    with _each_warning_once():
        return _check(request, folder=folder)


def _check(request: "Request", *, folder: str | os.PathLike[str]) -> Preflight:
    from geodeeplab.models import as_model
    from geodeeplab.pipeline.info.forecast import forecast

    model = as_model(request.model, request.contract)
    request = replace(request, model=model, contract=None)  # it is loaded once
    with ExitStack() as stack:
        plan, needs = _open(request, stack)
        if plan is None:
            facts = _look(request.scene, grid_crs=request.grid_crs, gsd_m=request.gsd_m)
            return Preflight(
                scene=facts, model=_fit(model.contract, None, is_settled=False), run=None, needs=needs, notes=()
            )
        facts, fit = describe_scene(plan.scene), _fit(model.contract, plan, is_settled=not needs)
        run = forecast(plan, folder=folder)
        if run.empty_tiles == run.tiles:
            needs += (_no_pixel(plan, is_certain=run.is_count_exact),)
        return Preflight(scene=facts, model=fit, run=run, needs=needs, notes=tuple(plan.notes))


def _open(request: "Request", stack: ExitStack) -> "tuple[Plan | None, tuple[str, ...]]":
    """Open the plan of a request, or one that differs in the rescaling only; say what `segment` would refuse."""
    from geodeeplab.pipeline.plan import open_plan

    try:
        return stack.enter_context(open_plan(request)), ()
    except (ContractError, SceneError) as error:
        needs = (str(error),)
    if request.rescale is None:
        try:  # tiles, memory and time are the same whatever the values
            return stack.enter_context(open_plan(replace(request, rescale=(0.0, 1.0)))), needs
        except (ContractError, SceneError):
            pass
    return None, needs


def _look(scene: SceneLike, *, grid_crs: str | None, gsd_m: str | float | None) -> SceneFacts:
    """Describe a scene, one with a palette, too."""
    if isinstance(scene, Scene) and grid_crs is None:
        return describe_scene(scene)
    with open_scene(scene, allow_palette=True, grid_crs=grid_crs, gsd_m=_metres(gsd_m)) as opened:
        return describe_scene(opened)


def _fit(contract: "Contract", plan: "Plan | None", *, is_settled: bool) -> ModelFit:
    """Put model and scene side by side; values only where it is settled how the scene's become the model's."""
    return ModelFit(
        name=contract.name,
        reads=contract.band_names,
        scene_bands=None if plan is None else tuple(band.number for band in plan.scene.bands),
        dtype=contract.dtype,
        gsd_m=contract.gsd_m,
        seen_gsd_m=None if plan is None or plan.zoom is None else plan.zoom.gsd_m,
        value_range=contract.value_range,
        limits=None if plan is None or not is_settled else plan.values.limits,
        classes=tuple(item.name for item in contract.classes),
    )


def _no_pixel(plan: "Plan", *, is_certain: bool) -> str:
    """Say that there is nothing to label."""
    where = "" if plan.aoi is None else " within the area of interest"
    found = "has no valid pixel" if is_certain else "has no valid pixel where it was looked at"
    return f"scene '{plan.scene.path}' {found}{where} in these bands: check its nodata value or mask"


def _refuse_without_model(names: Sequence[str]) -> None:
    if names:
        raise OptionError(f"{', '.join(names)}: what a run takes depends on the model, name one with --model")


def _metres(gsd_m: str | float | None) -> float | None:
    try:
        return None if gsd_m is None else float(gsd_m)
    except ValueError:
        return None


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Hold warnings back to the end, and give each of ours once, though the scene may be opened more than once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    told: set[str] = set()
    for one in caught:
        if str(one.message) not in told:
            told.add(str(one.message))
            is_ours = issubclass(one.category, GeoDeepLabWarning)
            warnings.warn(one.message, one.category, stacklevel=4 if is_ours else 1)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a dataclass holds
    """Make numbers that JSON does not have text, in nested containers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
