"""The rule of the sieve, pixel by pixel in plain Python: the oracle of its tests. And short calls of the sieve."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.sieve.rows import sieve_rows

Labels = NDArray[np.int32]
Rule = Mapping[int, float] | float
Pixel = tuple[int, int]
EDGES = ((0, 1), (1, 0), (0, -1), (-1, 0))
CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def find_components(labels: NDArray[np.int32], connectivity: int) -> list[list[Pixel]]:
    """Components in the raster order of their first pixels, which are their first ones."""
    steps = EDGES if connectivity == 4 else EDGES + CORNERS
    seen, components = np.zeros(labels.shape, bool), []
    for start in np.ndindex(*labels.shape):
        if seen[start]:
            continue
        seen[start] = True
        pixels = [(start[0], start[1])]
        for row, col in pixels:  # grows while it is gone through
            for down, right in steps:
                at = row + down, col + right
                if is_inside(at, labels.shape) and not seen[at] and labels[at] == labels[start]:
                    seen[at] = True
                    pixels.append(at)
        components.append(pixels)
    return components


def is_inside(at: Pixel, shape: tuple[int, ...]) -> bool:
    return 0 <= at[0] < shape[0] and 0 <= at[1] < shape[1]


class ReferenceSieve:
    """One sieving: `labels` is the result, `tied` whether the raster order of two components ever decided."""

    def __init__(
        self,
        labels: NDArray[np.int32],
        minimum: Mapping[int, float] | float,
        *,
        connectivity: int = 4,
        nodata: int = 0,
        fill_holes: bool = False,
        row_areas: NDArray[np.float64] | None = None,
    ) -> None:
        self.labels, self.minimum, self.connectivity = labels.copy(), minimum, connectivity
        self.nodata, self.fill_holes = nodata, fill_holes
        self.row_areas = np.ones(len(labels)) if row_areas is None else row_areas
        self.tied = False
        while self.merge_once():
            pass

    def is_below(self, pixels: list[Pixel]) -> bool:
        label = int(self.labels[pixels[0]])
        height, width = self.labels.shape
        at_edge = any(row in (0, height - 1) or col in (0, width - 1) for row, col in pixels)
        if label == self.nodata and (at_edge or not self.fill_holes):
            return False
        least = self.minimum.get(label, 0) if isinstance(self.minimum, Mapping) else self.minimum
        return self.area(pixels) < least

    def area(self, pixels: list[Pixel]) -> float:
        return float(sum(self.row_areas[row] for row, _ in pixels))

    def merge_once(self) -> bool:
        components = find_components(self.labels, self.connectivity)
        owner = {at: i for i, pixels in enumerate(components) for at in pixels}
        label = [int(self.labels[pixels[0]]) for pixels in components]
        target: dict[int, int] = {}
        for i, pixels in enumerate(components):
            if not self.is_below(pixels):
                continue
            around = [owner.get((row + down, col + right), i) for row, col in pixels for down, right in EDGES]
            borders = Counter(j for j in around if j != i and label[j] != self.nodata)
            if borders:
                ranks = {j: (length, self.area(components[j])) for j, length in borders.items()}
                best = max(ranks.values())
                self.tied |= sum(rank == best for rank in ranks.values()) > 1
                target[i] = min(j for j, rank in ranks.items() if rank == best)
        for i in target:
            way = [i]
            while way[-1] in target and way[-1] not in way[:-1]:
                way.append(target[way[-1]])
            end = way[-1]
            if end in target:  # met before: two that point at each other
                other = target[end]
                assert target[other] == end
                self.tied |= self.area(components[end]) == self.area(components[other])
                end = min((end, other), key=lambda j: (-self.area(components[j]), j))
            for at in components[i]:
                self.labels[at] = label[end]
        return bool(target)


def bands_of(labels: Labels, cuts: Iterable[int] = ()) -> Callable[[], Iterator[Labels]]:
    return lambda: iter(np.split(labels, sorted(cuts)))


def sieve(labels: Labels, minimum: Rule, cuts: Iterable[int] = (), **options: Any) -> Labels:  # noqa: ANN401
    return np.concatenate(list(sieve_rows(bands_of(labels, cuts), shape=labels.shape, minimum=minimum, **options)))


def draw(*rows: str) -> Labels:
    """One digit a pixel."""
    return np.array([[int(digit) for digit in row] for row in rows], np.int32)
