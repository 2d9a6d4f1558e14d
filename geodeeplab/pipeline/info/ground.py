"""What a model is worth on a scene, by a few windows of it: how familiar the ground is, how sure the model is."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.inference.exact import exact_arithmetic
from geodeeplab.models import Normalisation, SegmentationNetwork
from geodeeplab.models.appearance import (
    LEAST_VALID,
    LEAST_WINDOWS,
    SceneDistance,
    Statistics,
    measure_window,
    scene_distance,
)
from geodeeplab.pipeline.info.coverage import area_seen, bytes_per_pixel
from geodeeplab.pipeline.plan import Plan
from geodeeplab.raster.sources.remote import is_networked

WINDOWS = 24
"""Windows with data that are enough."""
PLACES = range(1024)
"""Places that are tried for them, one after the other; see `_spread`."""
MOST_READS = 4 * WINDOWS
"""Windows that are read at most, where much has no data."""
EXPECTED_SIDE, EXPECTED_PIXELS = 256, 2**19
"""Of the windows that are labelled to see how sure the model is: their side, and pixels of all of them."""
READ_BYTES, READ_BYTES_REMOTE = 32 << 20, 8 << 20
"""Decoded bytes of the scene after which no more windows are read than `LEAST_WINDOWS`."""

Result = TypeVar("Result")


def measure_distance(plan: Plan) -> SceneDistance | None:
    """Look at windows spread over what a run labels; None where the model file does not say what it was trained on.

    None, too, where too few windows have data.
    """
    contract = plan.model.contract
    if contract.appearance is None:
        return None
    windows, channels = look(plan, side=contract.appearance.side), contract.channels_of(len(plan.scene.bands))
    assert channels is not None, "bands are selected for the model"
    return scene_distance(contract.appearance, windows, bands=contract.band_names, channels=channels)


def look(plan: Plan, *, side: int, places: Iterable[int] = PLACES) -> list[Statistics]:
    """Measure windows of a scene as its model sees them: at its pixel size, in its numbers.

    Args:
        plan: the run.
        side: of a window in pixels; less where the scene, or the area of interest, is smaller.
        places: numbers of the places to try, until `WINDOWS` of them have data, or enough was read.
    """
    normalise = Normalisation(plan.model.contract, values=plan.values)

    def statistics(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> Statistics | None:
        with torch.inference_mode():
            image = normalise(torch.from_numpy(pixels.astype("float32"))[None], torch.from_numpy(valid)[None])
        return measure_window(image[0].numpy(), valid, required=plan.model.contract.required_channels)

    return _at_windows(plan, statistics, side=side, count=WINDOWS, places=places)


def expect_accuracy(plan: Plan) -> float | None:
    """Give the share of the pixels that a model expects to label rightly: its mean confidence in a few windows.

    None where confidence is not calibrated, or is not that of the network alone: for models that state no temperature,
    those of `adapt`, which report on themselves, and those from elsewhere; where too little has data; and where a
    network is compiled, which would be done for the windows alone.
    """
    contract, forward = plan.model.contract, plan.engine.forward
    if contract.temperature == 1 or plan.request.compiled or not isinstance(plan.model.network, SegmentationNetwork):
        return None

    def confidence(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[float, int] | None:
        if valid.mean() < LEAST_VALID:
            return None
        there = torch.from_numpy(valid)
        logits = forward.logits(torch.from_numpy(pixels)[None], there[None])[0, : len(contract.classes)]  # (K, h, w)
        highest = (logits / contract.temperature).softmax(0).amax(0).cpu()
        return float(highest[there].sum()), int(there.sum())

    side = min(EXPECTED_SIDE, plan.lattice.tile_size)
    with exact_arithmetic():
        found = _at_windows(plan, confidence, side=side, count=max(LEAST_WINDOWS, EXPECTED_PIXELS // side**2))
    return sum(one for one, _ in found) / sum(count for _, count in found) if found else None


def _at_windows(
    plan: Plan,
    measure: Callable[[NDArray[Any], NDArray[np.bool_]], Result | None],
    *,
    side: int,
    count: int,
    places: Iterable[int] = PLACES,
) -> list[Result]:
    """Give what `measure` makes of windows of the model's view of a scene: pixels (C, h, w) and `valid` (h, w).

    Windows that it makes nothing of do not count.
    """
    scene, area, wanted = plan.model_scene, area_seen(plan), plan.wanted_seen
    height, width = (min(side, length) for length in area.shape)
    block_height, block_width = scene.block_shape
    cost = (height + block_height) * (width + block_width) * bytes_per_pixel(plan)
    left: float = READ_BYTES_REMOTE if is_networked(scene.source) else READ_BYTES
    reads, found = 0, list[Result]()
    for place in places:
        if len(found) == count or reads == MOST_READS or (left < cost and len(found) >= LEAST_WINDOWS):
            break
        down, across = _spread(place)
        row = area.row_start + round(down * (area.shape[0] - height))
        col = area.col_start + round(across * (area.shape[1] - width))
        window = Window(col, row, width, height)
        there = None if wanted is None else wanted(window)
        if there is not None and there.mean() < LEAST_VALID:
            continue
        read, reads, left = scene.read(window), reads + 1, left - cost
        one = measure(read.array, read.valid if there is None else read.valid & there)
        if one is not None:
            found.append(one)
    return found


def _spread(index: int) -> tuple[float, float]:
    """Give the points 0, 1, ... of a sequence that fills the unit square evenly, wherever it begins and stops.

    It is the additive recurrence by the plastic number (Roberts 2018, "The unreasonable effectiveness of
    quasirandom sequences").
    """
    plastic = 1.324717957244746
    return (0.5 + index / plastic) % 1, (0.5 + index / plastic**2) % 1
