"""What the ground looks like that a model was trained on, in a few kilobytes, and how far another scene lies from it.

Windows of the training ground are a handful of statistics each. Another scene is as far as its windows are from the
nearest of those, in units of how far other windows of the training ground are.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import ModelError
from geodeeplab.models.checks import check_mapping, check_number, check_sequence, check_whole, refuse_unknown

SIDE = 128
"""Of a window, in pixels of the model's size; smaller where chips are."""
SAMPLES = 128
"""Windows that a model file keeps."""
LEAST_WINDOWS = 8
"""Fewer say nothing about a scene, or of what was trained on."""
LEAST_VALID = 0.5
"""Share of a window that has data, if it is to count."""
MOST_SIDE, MOST_SAMPLES, MOST_NUMBER = 1024, 1024, 1e6
"""What a model file may state."""
LAGS = {"fine": 1, "coarse": 4}
"""Distances in pixels at which texture is measured."""
FLOOR = 0.02
"""Least deviation that counts, in units of the training pixels' deviation: about one grey level in 256."""
FAR, SOMEWHAT = 3.0, 1.5
"""Distances from which on a scene is said to be so."""

Statistics = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Windows of the training ground, each as the statistics of `measure_window`."""

    side: int
    """Height and width of a window in pixels."""
    scales: tuple[float, ...]
    """(F,) standard deviation of each statistic over the training ground; above 0."""
    samples: tuple[tuple[float, ...], ...]
    """(N, F) statistics of windows, in units of the scales."""
    usual: float
    """Median distance of other windows of the training ground to the nearest sample; above 0."""


@dataclass(frozen=True, kw_only=True)
class SceneDistance:
    """How far a scene lies from what a model was trained on."""

    value: float
    """1 is usual on the training ground itself."""
    verdict: Literal["near", "somewhat far", "far"]
    """In words; from `SOMEWHAT` and `FAR` on."""
    statistic: str
    """Name of the statistic that departs the most from the training ground."""
    departure: float
    """How far on average, in standard deviations of the training ground; negative if it is less there."""
    windows: int
    """Windows of the scene that were looked at."""


def statistic_names(bands: Sequence[str]) -> tuple[str, ...]:
    """Name the statistics of `measure_window`, in order."""
    pairs = [f"{one} against {other}" for one, other in pairwise(bands)]
    return (
        *(f"brightness of {band}" for band in bands),
        *(f"contrast of {band}" for band in bands),
        *(f"brightness of {pair}" for pair in pairs),
        *(f"contrast of {pair}" for pair in pairs),
        *(f"{kind} texture" for kind in LAGS),
    )


def measure_window(
    image: NDArray[np.floating], valid: NDArray[np.bool_], *, required: Sequence[int]
) -> Statistics | None:
    """Give the statistics (F,) of a window, float32; None where too little of it is valid.

    Brightness is the mean, contrast the logarithm of the standard deviation, of each band and of the differences
    between neighbouring bands; texture is the logarithm of the root mean square step at a distance of some pixels, of
    the mean of the required bands, against its standard deviation. None of them depends on where in the window things
    lie.

    Args:
        image: (C, h, w), normalised as the network's input.
        valid: (h, w), True where there is data.
        required: channels that every scene has.
    """
    if valid.mean() < LEAST_VALID:
        return None
    pixels = image[:, valid]  # (C, n)
    between = pixels[:-1] - pixels[1:]
    grey = image[list(required)].mean(axis=0)
    spread = float(grey[valid].std())
    found = [pixels.mean(axis=1), _log(pixels.std(axis=1)), between.mean(axis=1), _log(between.std(axis=1))]
    steps = [_step(grey, valid, lag) for lag in LAGS.values()]
    return np.concatenate([*found, _log(np.array(steps)) - _log(np.array(spread))]).astype(np.float32)


def summarise(windows: Sequence[Statistics], *, side: int) -> Appearance | None:
    """Keep some windows of the training ground, drawn evenly, and measure the distance to them by the others.

    Args:
        windows: (F,) each, of windows all over the training ground, at least twice `LEAST_WINDOWS`; else there is
            nothing to say, and None is given.
        side: of the windows.
    """
    if len(windows) < 2 * LEAST_WINDOWS:
        return None
    every = np.stack(windows).astype(np.float64)
    scales = np.maximum(every.std(axis=0), FLOOR)
    every = np.round(every / scales, 1)
    order = np.random.default_rng(0).permutation(len(every))
    count = min(SAMPLES, len(every) // 2)
    samples, others = every[order[:count]], every[order[count:]]
    distances, _ = _nearest(others, samples)
    return Appearance(
        side=side,
        scales=tuple(round(float(one), 4) for one in scales),
        samples=tuple(tuple(row) for row in samples.tolist()),
        usual=round(max(float(np.median(distances)), FLOOR), 4),
    )


def scene_distance(
    appearance: Appearance, windows: Sequence[Statistics], *, bands: Sequence[str], channels: Sequence[int]
) -> SceneDistance | None:
    """Say how far a scene lies from the training ground; None where too few windows have data.

    What depends on a band that the scene lacks does not count.

    Args:
        appearance: of the training ground.
        windows: (F,) each, of windows all over the scene.
        bands: names of the model's bands.
        channels: of them those that the scene has.
    """
    if len(windows) < LEAST_WINDOWS:
        return None
    known = _known(len(bands), channels)
    there = (np.stack(windows) / np.array(appearance.scales))[:, known]
    distances, departures = _nearest(there, np.array(appearance.samples)[:, known])
    value = float(np.median(distances)) / appearance.usual
    mean = departures.mean(axis=0)
    most = int(np.abs(mean).argmax())
    return SceneDistance(
        value=round(value, 2),
        verdict="far" if value >= FAR else "somewhat far" if value >= SOMEWHAT else "near",
        statistic=np.array(statistic_names(bands))[known][most].item(),
        departure=round(float(mean[most]), 2),
        windows=len(windows),
    )


def read_appearance(values: object) -> Appearance:
    """Make an appearance of plain values.

    Raises:
        KeyError: if one is missing.
        TypeError: if they are of another kind.
        ModelError: if a key is unknown.
    """
    if isinstance(values, Appearance):
        return values
    check_mapping(values, "appearance")
    assert isinstance(values, Mapping)
    refuse_unknown(values, "appearance", [item.name for item in dataclasses.fields(Appearance)])
    check_sequence(values["samples"], "the samples of appearance", MOST_SAMPLES)
    for row in values["samples"]:
        check_sequence(row, "a sample of appearance", MOST_SAMPLES)
    check_sequence(values["scales"], "the scales of appearance", MOST_SAMPLES)
    return Appearance(
        side=values["side"],
        scales=tuple(values["scales"]),
        samples=tuple(tuple(row) for row in values["samples"]),
        usual=values["usual"],
    )


def check_appearance(found: Appearance, *, bands: int) -> None:
    """Check an appearance of a model of so many bands.

    Raises:
        TypeError: if something is of another type.
        ModelError: if a number is out of its range, or the parts do not agree.
    """
    check_whole(found.side, "the side of appearance", 1, MOST_SIDE)
    numbers = [found.usual, *found.scales, *(number for row in found.samples for number in row)]
    for number in numbers:
        check_number(number, "each number of appearance")
    if not all(abs(number) <= MOST_NUMBER for number in numbers) or min(found.usual, *found.scales) <= 0:
        raise ModelError("the numbers of appearance are finite, its scales and usual above 0: leave it out")
    count = len(statistic_names([""] * bands))
    if not all(len(row) == count for row in (found.scales, *found.samples)):
        raise ModelError(f"appearance has {count} statistics for {bands} bands, not as many as here: leave it out")


def _known(bands: int, channels: Sequence[int]) -> NDArray[np.bool_]:
    """Give which statistics (F,) depend on no band but those of some channels; texture is that of required bands."""
    there = np.isin(np.arange(bands), channels)
    pairs = there[:-1] & there[1:]
    return np.concatenate([there, there, pairs, pairs, np.ones(len(LAGS), bool)])


def _nearest(
    windows: NDArray[np.float64], samples: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the distance (N,) of windows (N, F) to the nearest of samples (M, F), and the way there (N, F) back."""
    ways = windows[:, None] - samples[None]  # (N, M, F)
    distances = np.sqrt((ways**2).mean(axis=2))
    rows, best = np.arange(len(windows)), distances.argmin(axis=1)
    return distances[rows, best], ways[rows, best]


def _step(grey: NDArray[np.floating], valid: NDArray[np.bool_], lag: int) -> float:
    """Give the root mean square difference of pixels `lag` apart, along both axes; 0 where there are none."""
    squares = []
    for image, there in ((grey, valid), (grey.T, valid.T)):
        both = there[lag:] & there[:-lag]
        steps = (image[lag:] - image[:-lag])[both]
        squares.append(float((steps**2).mean()) if steps.size else 0.0)
    return float(np.sqrt(sum(squares) / 2))


def _log(deviations: NDArray[np.floating]) -> NDArray[np.floating]:
    found: NDArray[np.floating] = np.log(deviations + FLOOR)
    return found
