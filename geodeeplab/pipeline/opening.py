"""The parts of a plan: what of a model is run, what is decided by its logits, and the scene as it is read."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import nn

from geodeeplab.errors import OptionError
from geodeeplab.inference import NODATA_LABEL, Decision, Device
from geodeeplab.models import Contract, Model, SegmentationNetwork
from geodeeplab.models.int8.network import Int8Network
from geodeeplab.models.network import without_boundary
from geodeeplab.pipeline.gsd import Zoom
from geodeeplab.pipeline.request import Request, stated_metres
from geodeeplab.raster import LabelClass, LockedSource, ScaledSource, Scene, names_stac, open_scene, with_mask

OTHER_NAME, OTHER_COLOR = "other", (128, 128, 128)


def network_to_run(model: Model, device: Device, request: Request, *, precision: str) -> nn.Module:
    """Give the network as it is run: without the head that finds boundaries unless they are wanted, or in int8.

    Raises:
        OptionError: the model finds no boundaries, or not in int8; int8 is not compiled.
    """
    contract = model.contract
    if request.with_boundary and not contract.instances:
        raise OptionError(
            f"model '{contract.name}' was not trained to separate objects, so it finds no boundaries: train one with "
            "`instances=`, or give `vectorize` its labels and a raster of boundaries"
        )
    if precision != "int8":
        return model.network if request.with_boundary else without_boundary(model.network)
    if request.with_boundary:
        raise OptionError("int8 is for the classes alone, and boundaries are wanted, too: leave the precision at auto")
    if request.compiled:
        raise OptionError("int8 is run by OpenVINO, which compiles by itself: leave out `compiled=True`")
    network = without_boundary(model.network)
    assert isinstance(network, SegmentationNetwork), "others have no int8"
    return Int8Network(network, contract.int8_ranges, lanes=device.lanes, threads=device.threads)


def label_classes(contract: Contract, request: Request) -> tuple[LabelClass, ...]:
    """Give the classes of the label raster: those that are kept, and `other` after them if it is asked for.

    Raises:
        OptionError: if a class is not the model's, or there is no id left for `other`.
    """
    names = [item.name for item in contract.classes]
    unknown = [name for name in request.classes or () if name not in names]
    if unknown or (request.classes is not None and not request.classes):
        asked = ", ".join(map(repr, unknown)) or "nothing"
        raise OptionError(
            f"model '{contract.name}' tells apart {', '.join(names)}, not {asked}: choose classes among them"
        )
    kept = [item for item in contract.classes if request.classes is None or item.name in request.classes]
    classes = [LabelClass(id=item.id, name=item.name, color=item.color) for item in kept]
    if request.other:
        free = max(item.id for item in contract.classes) + 1
        if free > 255 or OTHER_NAME in names:
            raise OptionError(
                f"model '{contract.name}' leaves no id or name for a class `other`: leave out `other=True`"
            )
        classes.append(LabelClass(id=free, name=OTHER_NAME, color=OTHER_COLOR))
    return tuple(classes)


def decide_by(contract: Contract, request: Request, classes: Sequence[LabelClass]) -> Decision:
    """Give what is decided by the logits, and how: which classes count, from which confidence on, what is kept."""
    return Decision(
        class_ids=tuple(item.id for item in contract.classes),
        with_confidence=request.with_confidence,
        probabilities=request.probabilities,
        with_boundary=request.with_boundary,
        kept=None if request.classes is None else tuple(item.id for item in classes),
        min_confidence=request.min_confidence,
        other=classes[-1].id if request.other else NODATA_LABEL,
        temperature=contract.temperature,
    )


def open_input(request: Request, contract: Contract) -> AbstractContextManager[Scene]:
    """Open the scene; one that is open already stays so."""
    if isinstance(request.scene, Scene) and request.grid_crs is None:
        return with_mask(request.scene, request.mask)
    bands = (request.bands or contract.band_names) if names_stac(request.scene) else None  # of its assets only these
    return open_scene(
        request.scene, bands=bands, grid_crs=request.grid_crs, gsd_m=stated_metres(request.gsd_m), mask=request.mask
    )


def two_views(scene: Scene, zoom: Zoom) -> tuple[Scene, Scene]:
    """Give the scene and its scaled version; two threads may read them at once."""
    source, bands = LockedSource(scene.source), [band.number for band in scene.bands]
    return Scene(source, bands=bands), Scene(ScaledSource(source, zoom.factor), bands=bands)
