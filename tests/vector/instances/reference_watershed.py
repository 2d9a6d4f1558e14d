"""The rule of `geodeeplab.vector.instances.watershed`, pixel by pixel over a whole raster, in plain Python."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.instances.watershed import InstanceRule

Pixel = tuple[int, int]
AROUND = ((-1, 0), (0, -1), (0, 1), (1, 0))
"""North, west, east, south."""


class ReferenceWatershed:
    """Objects of labels (H, W) with boundaries (H, W).

    `objects` (H, W) has their numbers in the order of first pixels, -1 where there is none; `ways` those of kernels.
    """

    def __init__(self, labels: NDArray[np.uint8], boundary: NDArray[np.uint8], rule: InstanceRule) -> None:
        self.labels, self.boundary, self.rule = labels, boundary, rule
        self.pixels = [(i, j) for i, j in np.ndindex(*labels.shape) if labels[i, j] in rule.class_ids]
        self.source: dict[Pixel, Pixel | str] = {}
        low = {pixel for pixel in self.pixels if boundary[pixel] < rule.threshold}
        for component in self.components(low, lambda one, other: other in low):
            if len(component) >= rule.min_marker:
                self.source |= dict.fromkeys(component, "marker")
        self.grow()
        for pixel in self.pixels:
            self.source.setdefault(pixel, "unreached")
        self.objects = np.full(labels.shape, -1)
        for number, component in enumerate(self.components(set(self.pixels), self.are_tied)):
            for pixel in component:
                self.objects[pixel] = number
        self.ways = np.zeros(labels.shape, np.uint8)
        for (i, j), source in self.source.items():
            place = {"marker": 5, "unreached": 6}
            self.ways[i, j] = (
                place[source] if isinstance(source, str) else 1 + AROUND.index((source[0] - i, source[1] - j))
            )

    def neighbours(self, pixel: Pixel) -> list[Pixel]:
        """Pixels of the same class across the edges."""
        i, j = pixel
        height, width = self.labels.shape
        every = [(i + down, j + right) for down, right in AROUND]
        inside = [(y, x) for y, x in every if 0 <= y < height and 0 <= x < width]
        return [one for one in inside if self.labels[one] == self.labels[pixel]]

    def components(self, pixels: set[Pixel], belongs: Callable[[Pixel, Pixel], bool]) -> list[list[Pixel]]:
        """Part pixels into those that belong together, in the order of their first ones."""
        left, found = set(pixels), list[list[Pixel]]()
        for start in self.pixels:
            if start not in left:
                continue
            component, waiting = list[Pixel](), [start]
            left.discard(start)
            while waiting:
                pixel = waiting.pop()
                component.append(pixel)
                for other in self.neighbours(pixel):
                    if other in left and belongs(pixel, other):
                        left.discard(other)
                        waiting.append(other)
            found.append(component)
        return found

    def grow(self) -> None:
        """Let markers grow, step by step."""
        for limit, steps in zip(self.rule.limits.tolist(), self.rule.steps.tolist(), strict=True):
            for _ in range(steps):
                reached = {}
                for pixel in self.pixels:
                    if pixel in self.source or self.boundary[pixel] >= limit:
                        continue
                    sources = [one for one in self.neighbours(pixel) if one in self.source]
                    if sources:
                        reached[pixel] = min(sources, key=lambda one: int(self.boundary[one]))  # of equals the first
                self.source |= reached

    def are_tied(self, one: Pixel, other: Pixel) -> bool:
        """Tell whether two neighbours are of one object."""
        a, b = self.source[one], self.source[other]
        return a == other or b == one or (isinstance(a, str) and a == b)
