"""Labels against a truth."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingOutputNumber

from ..engine.report import write_page
from .base import GeoDeepLabAlgorithm
from .declared import (
    AOI,
    OWN,
    Declared,
    field,
    file_output,
    flag,
    further,
    number,
    polygons,
    raster,
    text,
    vector_output,
)
from .labelled import overlapping
from .values import Found

SIDES = (("LABELS", "LABEL_POLYGONS"), ("TRUTH", "TRUTH_RASTER"))


class Evaluate(GeoDeepLabAlgorithm):
    """`geodeeplab evaluate`."""

    key, title, command_name = "evaluate", "Evaluate", "evaluate"
    stages = ("evaluate",)
    summary = (
        "How good labels are, beside a truth: IoU, precision, recall, boundaries, objects, calibration. Labels and "
        "truth are each a raster or polygons, on any grid and in any CRS. Ground without truth counts nowhere, "
        "unless a background is named."
    )

    def declare(self) -> list[Declared]:
        """List the parameters."""
        return [
            raster("LABELS", "Labels (raster)", OWN, optional=True),
            polygons("LABEL_POLYGONS", "Labels (polygons), in place of a raster", OWN),
            field("LABELS_FIELD", "Field with the class of labels that are polygons", "--labels-field",
                  of="LABEL_POLYGONS"),
            polygons("TRUTH", "Truth (polygons)", OWN),
            field("CLASS_FIELD", "Field with the class of the truth", "--class-field", of="TRUTH"),
            raster("TRUTH_RASTER", "Truth (raster), in place of polygons", OWN, optional=True),
            text("BACKGROUND", "Class of ground that no polygon of the truth covers", "--background"),
            polygons(AOI, "Area of interest", "--aoi"),
            raster("CONFIDENCE", "Confidence of the labels: calibration", "--confidence", optional=True),
            flag("OBJECTS", "Compare polygons, too: objects that are found, missed, false", "--objects"),
            raster("LIKE", "Raster on whose pixels polygons are compared", "--like", optional=True),
            text("TRUTH_CLASS", "Class of all of the truth's polygons, in place of a field", "--truth-class",
                 advanced=True),
            *overlapping(),
            number("DISTANCE_PX", "Pixels of the bands of the boundary IoU", "--distance-px", is_whole=True, least=1,
                   advanced=True),
            number("OBJECT_IOU", "Objects match above this IoU", "--object-iou", most=1.0, advanced=True),
            flag("MISSED_IS_WRONG", "Truth without a label counts as wrong", "--missed-is-wrong", advanced=True),
            flag("IS_SAMPLE", "The truth is a random sample: estimate true areas", "--is-sample", advanced=True),
            further(),
            file_output("REPORT", "Report", OWN, "HTML files (*.html)", by_default=True),
            file_output("FIGURES", "Report with figures", "--report", "PNG files (*.png)"),
            vector_output("STATUSES", "Objects: matched, missed, false", "--statuses", by_default=False),
        ]  # fmt: skip

    def initAlgorithm(self, configuration: dict[str, object] | None = None) -> None:
        """Declare the parameters, and the numbers that come out."""
        super().initAlgorithm(configuration)
        self.addOutput(QgsProcessingOutputNumber("MIOU", "Mean IoU"))
        self.addOutput(QgsProcessingOutputNumber("ACCURACY", "Accuracy"))

    def check(self, values: dict[str, Found]) -> str:
        """Take labels and truth from one of two parameters each."""
        for names, what in zip(SIDES, ("labels", "truth")):
            given = [values[name] for name in names if values[name]]
            if len(given) != 1:
                return f"{what}: give a raster or polygons, {'one of them' if not given else 'not both'}"
            self.inputs.append(given[0])
        return ""

    def finish(self, results: dict[str, object]) -> None:
        """Keep the tables as a page, and the numbers for models."""
        figures = Path(str(results["FIGURES"])) if "FIGURES" in results else None
        if "REPORT" in results:
            write_page(Path(str(results["REPORT"])), self.title, self.printed, figures)
        for name, key in (("MIOU", "mean_iou"), ("ACCURACY", "accuracy")):
            if isinstance(self.facts.get(key), (int, float)):
                results[name] = self.facts[key]
