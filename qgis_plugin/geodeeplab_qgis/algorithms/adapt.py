"""A map from a few polygons."""

from __future__ import annotations

from pathlib import Path

from ..engine.report import write_page
from ..settings import keep_model
from .base import GeoDeepLabAlgorithm
from .declared import (
    INPUT,
    OWN,
    Declared,
    area_of_interest,
    computing,
    file_output,
    further,
    model_file,
    number,
    raster,
    raster_output,
    resume,
    shapes,
    text,
    vector_output,
)
from .labelled import drawn_polygons, overlapping
from .model_choice import chosen_model, model_choices
from .values import Found

WANTED = ("POLYGONS", "LABEL_RASTER", "CONFIDENCE", "SAVE", "SUGGESTIONS")
MODELS = "Models (*.safetensors)"
PAGES = "HTML files (*.html)"


class Adapt(GeoDeepLabAlgorithm):
    """`geodeeplab adapt`."""

    key, title, command_name = "adapt", "Map from a few polygons", "adapt"
    stages = ("features", "head", "report", "segment")
    summary = (
        "A map of the scene from a few little polygons of it that you have drawn, with classes of your own, in "
        "seconds to minutes. Five polygons of each class are enough to begin with, twenty make a good map. The "
        "report says how good the map is, as far as the polygons tell; the suggestions are windows in which to draw "
        "next. The model can segment other scenes of the same kind.<p>Only the polygons that are selected count, if "
        "that is ticked; layers in memory and edits that are not saved are read, too.</p>"
    )

    def declare(self) -> list[Declared]:
        """List the parameters."""
        return [
            raster("SCENE", "Scene", INPUT),
            *drawn_polygons(),
            *area_of_interest(),
            *shapes(),
            *overlapping(),
            number("SUGGESTION_COUNT", "How many windows to suggest", "--suggestions", is_whole=True, least=1,
                   advanced=True),
            *model_choices("Model to start from (none: features of ImageNet alone)", "auto", "none"),
            model_file("SINCE", "Model of the round before: tell what has changed", "--since"),
            text("GSD_M", "Pixel size that the model sees: native, or metres", "--gsd-m", advanced=True),
            *computing(),
            further(),
            resume(),
            vector_output("POLYGONS", "Land cover", "--polygons", by_default=True),
            raster_output("LABEL_RASTER", "Labels", "--label-raster", by_default=False),
            raster_output("CONFIDENCE", "Confidence", "--confidence", by_default=False),
            vector_output("SUGGESTIONS", "Where to draw next", "--suggest", by_default=False),
            file_output("SAVE", "Model", "--save", MODELS),
            file_output("REPORT", "Report", OWN, PAGES, by_default=True),
        ]  # fmt: skip

    def check(self, values: dict[str, Found]) -> str:
        """Ask for an output; the model goes to the command as one value."""
        self.own_options["--model"] = chosen_model(values)
        return "" if any(values[name] for name in WANTED) else "no output is asked for: choose one at least"

    def finish(self, results: dict[str, object]) -> None:
        """Keep the report as a page, and the model in the list."""
        if "REPORT" in results:
            write_page(Path(str(results["REPORT"])), self.title, self.printed, None)
        if "SAVE" in results:
            keep_model(str(results["SAVE"]))
