"""How far a scene lies from what its model was trained on, by a few windows of it."""

from collections.abc import Iterable

import torch
from rasterio.windows import Window

from geodeeplab.models import Normalisation
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
READ_BYTES, READ_BYTES_REMOTE = 32 << 20, 8 << 20
"""Decoded bytes of the scene after which no more windows are read than `LEAST_WINDOWS`."""


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
    scene, area, wanted = plan.model_scene, area_seen(plan), plan.wanted_seen
    height, width = (min(side, length) for length in area.shape)
    normalise = Normalisation(plan.model.contract, values=plan.values)
    block_height, block_width = scene.block_shape
    cost = (height + block_height) * (width + block_width) * bytes_per_pixel(plan)
    left: float = READ_BYTES_REMOTE if is_networked(scene.source) else READ_BYTES
    reads, found = 0, list[Statistics]()
    for place in places:
        if len(found) == WINDOWS or reads == MOST_READS or (left < cost and len(found) >= LEAST_WINDOWS):
            break
        down, across = _spread(place)
        row = area.row_start + round(down * (area.shape[0] - height))
        col = area.col_start + round(across * (area.shape[1] - width))
        window = Window(col, row, width, height)
        there = None if wanted is None else wanted(window)
        if there is not None and there.mean() < LEAST_VALID:
            continue
        read, reads, left = scene.read(window), reads + 1, left - cost
        valid = read.valid if there is None else read.valid & there
        with torch.inference_mode():
            pixels = torch.from_numpy(read.array.astype("float32"))
            image = normalise(pixels[None], torch.from_numpy(valid)[None])[0].numpy()
        statistics = measure_window(image, valid, required=plan.model.contract.required_channels)
        if statistics is not None:
            found.append(statistics)
    return found


def _spread(index: int) -> tuple[float, float]:
    """Give the points 0, 1, ... of a sequence that fills the unit square evenly, wherever it begins and stops.

    It is the additive recurrence by the plastic number (Roberts 2018, "The unreasonable effectiveness of
    quasirandom sequences").
    """
    plastic = 1.324717957244746
    return (0.5 + index / plastic) % 1, (0.5 + index / plastic**2) % 1
