"""Where to draw next."""

from __future__ import annotations

from .base import GeoDeepLabAlgorithm
from .declared import INPUT, Declared, area_of_interest, computing, further, number, raster, vector_output
from .labelled import drawn_polygons, overlapping
from .model_choice import chosen_model, model_choices
from .values import Found


class Suggest(GeoDeepLabAlgorithm):
    """`geodeeplab adapt --suggest`, without a map."""

    key, title, command_name = "suggest", "Suggest where to draw", "adapt"
    stages = ("features", "head", "report")
    summary = (
        "Windows of the scene in which a few more polygons would help most: where what was learnt from those that "
        "you have drawn is in doubt. Each window has a rank and the two classes in doubt. Draw there, and run <i>Map"
        " from a few polygons</i>, or this again."
    )

    def declare(self) -> list[Declared]:
        """List the parameters."""
        return [
            raster("SCENE", "Scene", INPUT),
            *drawn_polygons(),
            number("SUGGESTION_COUNT", "How many windows", "--suggestions", is_whole=True, least=1, default=10),
            *area_of_interest(),
            *overlapping(),
            *model_choices("Model to start from (none: features of ImageNet alone)", "auto", "none"),
            *computing(),
            further(),
            vector_output("SUGGESTIONS", "Where to draw next", "--suggest", by_default=True, optional=False),
        ]

    def check(self, values: dict[str, Found]) -> str:
        """Take the model as one value."""
        self.own_options["--model"] = chosen_model(values)
        return ""
