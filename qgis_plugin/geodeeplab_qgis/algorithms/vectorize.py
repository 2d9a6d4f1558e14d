"""Polygons of a label raster."""

from __future__ import annotations

from .base import GeoDeepLabAlgorithm
from .declared import INPUT, Declared, further, number, objects, raster, shapes, vector_output


class Vectorize(GeoDeepLabAlgorithm):
    """`geodeeplab vectorize`."""

    key, title, command_name = "vectorize", "Vectorize labels", "vectorize"
    stages = ("vectorize",)
    summary = (
        "Polygons of the classes of a label raster, of whole numbers: exact, or simplified so that neighbours stay "
        "neighbours. Names and colours of the classes come from the raster."
    )

    def declare(self) -> list[Declared]:
        """List the parameters."""
        return [
            raster("LABELS", "Labels", INPUT),
            number("BAND", "Band", "--band", is_whole=True, least=1, default=1),
            raster("CONFIDENCE", "Confidence (0 to 100), to summarise", "--confidence", optional=True),
            number("NODATA", "Label that gets no polygon", "--nodata", is_whole=True, least=-1e9, advanced=True),
            *shapes(),
            raster("BOUNDARY", "Boundaries of objects, to tell these apart", "--boundary", optional=True),
            *objects(),
            further(),
            vector_output("POLYGONS", "Polygons", "--polygons", by_default=True, optional=False),
        ]
