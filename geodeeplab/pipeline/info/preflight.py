"""`preflight`: what a scene holds, what a model needs of it, and what a run will take; nothing is written.

With a model it opens the same plan as `segment`, so what it says is what `segment` does. Without one it needs no torch.
"""

import json
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from geodeeplab.errors import ContractError, GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.pipeline.info.scene_facts import SceneFacts, describe_scene
from geodeeplab.pipeline.request import Request, stated_metres
from geodeeplab.pipeline.run_options import RunOptions, make_request, stated_options, with_run_options
from geodeeplab.raster import MaskLike, Scene, SceneLike, local_files_only, open_scene, to_masks, with_mask

if TYPE_CHECKING:
    from geodeeplab.models import Contract
    from geodeeplab.models.appearance import SceneDistance
    from geodeeplab.pipeline.info.forecast import Forecast
    from geodeeplab.pipeline.plan import Plan


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
    crop: tuple[int, int, int, int] | None = None
    """First row, row after the last, first column, column after the last of the scene that the outputs are cropped to;
    None where they have all of it."""
    distance: "SceneDistance | None" = None
    """How far the scene lies from what the model was trained on; None where its file does not say what that was, where
    too little has data, or where something is missing."""
    expected_accuracy: float | None = None
    """Share of the pixels that the model expects to label rightly, 0–1: its mean confidence in a few windows of the
    scene. None where its confidence is not calibrated (the model file states no temperature), for models of `adapt` and
    from elsewhere, and as above."""

    def to_json(self) -> str:
        """Write everything as one JSON object; numbers that JSON does not have, such as NaN, as text."""
        return json.dumps(_plain(asdict(self)), indent=2, default=str, allow_nan=False)


@with_run_options
def preflight(
    scene: SceneLike,
    polygons: str | os.PathLike[str] | None = None,
    *,
    label_raster: str | os.PathLike[str] | None = None,
    confidence: str | os.PathLike[str] | None = None,
    probabilities: str | os.PathLike[str] | None = None,
    probability_dtype: str = "uint8",
    folder: str | os.PathLike[str] | None = None,
    **options: Unpack[RunOptions],
) -> Preflight:
    """Tell what a scene holds and, with a model, whether and how `segment` will run on it.

    A few forward passes are run and timed. What `segment` would refuse about the scene is listed in `needs`. Nothing is
    written; of the outputs it only counts which there are to be, and where.

    Args:
        scene: as `segment` takes it.
        polygons: as `segment` takes it, like the three that follow.
        label_raster: label raster to write.
        confidence: raster of the confidence to write.
        probabilities: raster of the probabilities to write.
        probability_dtype: their data type, `uint8` or `float16`.
        folder: where the outputs are to go, for the free disk; by default that of the first output, else this one.
        options: see `segment`; without `model` only the scene is looked at.

    Raises:
        SceneError: if the scene cannot be opened, or read.
        ModelError: if the model cannot be used.
        OptionError: for options that cannot be.
    """
    outputs = [path for path in (polygons, label_raster, confidence, probabilities) if path is not None]
    with _each_warning_once():
        if options.get("model") is None:
            _refuse_without_model([name for name in stated_options(options) if name not in LOOKED_WITH])
            with local_files_only(options.get("local_only", False)):
                facts = _look(
                    scene, grid_crs=options.get("grid_crs"), gsd_m=options.get("gsd_m"), mask=options.get("mask")
                )
            return Preflight(scene=facts, model=None, run=None, needs=(), notes=())

        request = make_request(
            scene,
            options,
            with_confidence=confidence is not None or polygons is not None,  # each polygon has one
            probabilities=probability_dtype if probabilities is not None else None,
        )
        return _check(request, folder=folder or (Path(outputs[0]).parent if outputs else "."))


def preflight_request(request: Request, *, folder: str | os.PathLike[str] = ".") -> Preflight:
    """Tell how `segment` will run a request; see `preflight`."""
    with _each_warning_once():
        return _check(request, folder=folder)


def _check(request: Request, *, folder: str | os.PathLike[str]) -> Preflight:
    from geodeeplab.models import as_model
    from geodeeplab.pipeline.gsd import ground_of
    from geodeeplab.pipeline.info.forecast import forecast
    from geodeeplab.pipeline.info.ground import expect_accuracy, measure_distance

    model = as_model(request.model, request.contract)
    request = replace(request, model=model, contract=None)  # it is loaded once
    with ExitStack() as stack:
        plan, needs = _open(request, stack)
        if plan is None:
            facts = _look(request.scene, grid_crs=request.grid_crs, gsd_m=request.gsd_m, mask=None)
            return Preflight(
                scene=facts, model=_fit(model.contract, None, is_settled=False), run=None, needs=needs, notes=()
            )
        facts = describe_scene(plan.scene, masks=to_masks(request.mask))
        facts = replace(facts, gsd_m=ground_of(plan.scene.grid, plan.area).gsd_m)
        fit = _fit(model.contract, plan, is_settled=not needs)
        run = forecast(plan, folder=folder)
        distance = None if needs else measure_distance(plan)  # else nobody knows what the scene's numbers mean
        expected = None if needs else expect_accuracy(plan)
        if run.empty_tiles == run.tiles:
            needs += (_no_pixel(plan, is_certain=run.is_count_exact),)
        crop = None if plan.crop is None else astuple(plan.crop.extent)
        return Preflight(
            scene=facts,
            model=fit,
            run=run,
            needs=needs,
            notes=tuple(plan.notes),
            crop=crop,
            distance=distance,
            expected_accuracy=expected,
        )


def _open(request: Request, stack: ExitStack) -> "tuple[Plan | None, tuple[str, ...]]":
    """Open the plan of a request, or one that differs in the rescaling only; say what `segment` would refuse."""
    from geodeeplab.pipeline.plan import open_plan

    try:
        return stack.enter_context(open_plan(request)), ()
    except (ContractError, SceneError) as error:
        needs = (str(error),)
    if request.rescale is None:
        try:  # tiles, memory and time are the same whatever the values
            return stack.enter_context(open_plan(replace(request, rescale=(0.0, 1.0), scale=None))), needs
        except (ContractError, SceneError):
            pass
    return None, needs


def _look(scene: SceneLike, *, grid_crs: str | None, gsd_m: str | float | None, mask: MaskLike | None) -> SceneFacts:
    """Describe a scene, one with a palette, too."""
    opened: AbstractContextManager[Scene] = (
        with_mask(scene, mask)
        if isinstance(scene, Scene) and grid_crs is None
        else open_scene(scene, allow_palette=True, grid_crs=grid_crs, gsd_m=stated_metres(gsd_m), mask=mask)
    )
    with opened as one:
        return describe_scene(one, masks=to_masks(mask))


def _fit(contract: "Contract", plan: "Plan | None", *, is_settled: bool) -> ModelFit:
    """Put model and scene side by side; values only where it is settled how the scene's become the model's."""
    channels = None if plan is None else contract.channels_of(len(plan.scene.bands))
    return ModelFit(
        name=contract.name,
        reads=contract.band_names if channels is None else tuple(contract.band_names[one] for one in channels),
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
    where += "" if plan.request.mask is None else " outside of its masks"
    found = "has no valid pixel" if is_certain else "has no valid pixel where it was looked at"
    return f"scene '{plan.scene.path}' {found}{where} in these bands: check its nodata value or mask"


def _refuse_without_model(names: Sequence[str]) -> None:
    if names:
        raise OptionError(
            f"{', '.join(f'`{name}=`' for name in names)}: what a run takes depends on the model, name one (`model=`)"
        )


LOOKED_WITH = ("model", "grid_crs", "gsd_m", "mask", "local_only")
"""Options that say something of the scene alone, too."""
_recording = threading.Lock()
"""One after the other: who records warnings puts back the list of filters that was there before."""


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Hold warnings back to the end, and give each of ours once, though the scene may be opened more than once."""
    with _recording, warnings.catch_warnings(record=True) as caught:
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
