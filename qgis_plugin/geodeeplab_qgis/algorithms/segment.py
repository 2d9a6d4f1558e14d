"""Segment a scene with a model."""

from __future__ import annotations

from .base import GeoDeepLabAlgorithm
from .declared import (
    INPUT,
    Declared,
    area_of_interest,
    computing,
    file_output,
    further,
    number,
    objects,
    raster,
    raster_output,
    resume,
    shapes,
    text,
    vector_output,
)
from .model_choice import CARDS_HTML, chosen_model, model_choices
from .values import Found

WANTED = ("POLYGONS", "LABELS", "CONFIDENCE", "MAP")


class Segment(GeoDeepLabAlgorithm):
    """`geodeeplab segment`."""

    key, title, command_name = "segment", "Segment scene", "segment"
    stages = ("segment",)
    summary = (
        "Land cover of an aerial or satellite scene, with a model that knows the classes already: polygons, and a "
        "raster of labels. Scenes of any size are computed in bands of rows; a run that was cancelled goes on with "
        "<i>Go on with a run that was cut off</i>, if its outputs have the same names.<p>Where no model fits, use "
        "<i>Map from a few polygons</i>.</p>" + CARDS_HTML
    )

    def declare(self) -> list[Declared]:
        """List the parameters."""
        return [
            raster("SCENE", "Scene", INPUT),
            *model_choices("Model"),
            *area_of_interest(),
            *shapes(),
            *objects(),
            number("MIN_CONFIDENCE", "Least probability of a class to be kept", "--min-confidence", most=1.0,
                   advanced=True),
            text("CLASSES", "Classes to keep, such as building,road", "--classes", advanced=True),
            text("GSD_M", "Pixel size that the model sees: native, model, or metres", "--gsd-m", advanced=True),
            text("RESCALE", "Scene values for the ends of the model's range, such as 2%,98%", "--rescale",
                 advanced=True),
            *computing(),
            further(),
            resume(),
            vector_output("POLYGONS", "Land cover", "--polygons", by_default=True),
            raster_output("LABELS", "Labels", "--label-raster", by_default=False),
            raster_output("CONFIDENCE", "Confidence", "--confidence", by_default=False),
            file_output("MAP", "Map for the browser", "--map", "HTML files (*.html)"),
        ]  # fmt: skip

    def check(self, values: dict[str, Found]) -> str:
        """Ask for an output; the model goes to the command as one value."""
        self.own_options["--model"] = chosen_model(values)
        return "" if any(values[name] for name in WANTED) else "no output is asked for: choose one at least"
