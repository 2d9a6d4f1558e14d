"""Train a network of one's own."""

from __future__ import annotations

from qgis.core import QgsProcessing, QgsProcessingParameterMultipleLayers

from ..settings import keep_model
from .base import GeoDeepLabAlgorithm
from .declared import INPUT, OWN, Declared, choice, file_output, flag, further, model_file, number, raster, resume, text
from .labelled import LABELS, drawn_polygons
from .values import Found

ARCHITECTURES = ("deeplabv3", "deeplabv3plus", "fcn")
LABEL_RASTER = "LABEL_RASTER"


class Train(GeoDeepLabAlgorithm):
    """`geodeeplab train`."""

    key, title, command_name = "train", "Train", "train"
    stages = ("fit",)
    summary = (
        "A network that learns from labelled scenes, and one model file that segments others. It wants many more "
        "labels than <i>Map from a few polygons</i>, and half an hour on a CPU; labels are polygons, or a label raster "
        "on the scene's grid. A run that was cancelled goes on with <i>Go on with a run that was cut off</i>, if the "
        "model has the same name."
    )

    def declare(self) -> list[Declared]:
        """List the parameters."""
        scenes = QgsProcessingParameterMultipleLayers("SCENES", "Scenes", QgsProcessing.TypeRaster)
        return [
            Declared(scenes, INPUT),
            *drawn_polygons(optional=True),
            raster(LABEL_RASTER, "Labels as a raster, in place of polygons", OWN, optional=True),
            number("EPOCHS", "Epochs (none: 640 steps in all)", "--epochs", is_whole=True, least=1),
            text("BACKBONE", "Backbone, such as resnet50 (none: efficientnet_lite0)", "--backbone"),
            choice("ARCH", "Architecture", "--arch", ARCHITECTURES, advanced=True),
            text("INSTANCES", "Classes whose objects are told apart, by their boundaries, such as building",
                 "--instances", advanced=True),
            flag("BILINEAR", "Without PointRend", "--no-pointrend", advanced=True),
            model_file("FROM_MODEL", "Model to go on from", "--from-model"),
            text("WEIGHTS", "Weights: imagenet, none, or a file", "--weights", advanced=True),
            number("LR", "Learning rate (none: 0.001)", "--lr", advanced=True),
            number("CHIP_SIZE", "Pixels of a chip along each axis", "--chip-size", is_whole=True, least=1,
                   advanced=True),
            number("BATCH_SIZE", "Chips of a step", "--batch-size", is_whole=True, least=1, advanced=True),
            number("VAL_SPLIT_PCT", "Share of the labels to validate on", "--val-split-pct", most=1.0, advanced=True),
            text("BANDS", "The scenes' bands to learn from, such as 4,3,2", "--bands", advanced=True),
            number("GSD_M", "Pixel size to learn at, in metres", "--gsd-m", advanced=True),
            number("SEED", "Seed", "--seed", is_whole=True, advanced=True),
            text("DEVICE", "Device: auto, cpu, cuda, cuda:N or mps", "--device", advanced=True),
            further(),
            resume(),
            file_output("MODEL", "Model", "--output", "Models (*.safetensors)", by_default=True, optional=False),
        ]  # fmt: skip

    def check(self, values: dict[str, Found]) -> str:
        """Take the labels from one of two parameters."""
        if bool(values[LABELS]) == bool(values[LABEL_RASTER]):
            return f"labels: give polygons or a raster, {'not both' if values[LABELS] else 'one of them'}"
        if values[LABEL_RASTER]:
            self.own_options["--labels"] = str(values[LABEL_RASTER])
        return ""

    def finish(self, results: dict[str, object]) -> None:
        """Keep the model in the list."""
        keep_model(str(results["MODEL"]))
