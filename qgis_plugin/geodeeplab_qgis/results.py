"""How results look when QGIS has loaded them."""

from __future__ import annotations

from qgis.core import (
    QgsColorRampShader,
    QgsMapLayer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRasterShader,
    QgsSingleBandPseudoColorRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

CONFIDENCE = "CONFIDENCE"
"""The output whose raster holds 0 to 100."""
NO_DATA = "nodata"
"""The name of label 0."""
RAMP = ((0, "#440154"), (25, "#3b528b"), (50, "#21918c"), (75, "#5ec962"), (100, "#fde725"))
"""Viridis, which is read without colours, too."""

_kept: list[QgsProcessingLayerPostProcessorInterface] = []
"""QGIS holds no reference to Python's objects; it asks for them after the algorithm is gone."""
_KEPT_AT_MOST = 1000


def style_when_loaded(path: str, name: str, context: QgsProcessingContext) -> None:
    """Let an output be styled when QGIS loads it, if it does.

    Args:
        path: The output.
        name: Of its parameter.
        context: Of the run.
    """
    if context.willLoadLayerOnCompletion(path):
        styler = Styler(name == CONFIDENCE)
        _kept[:] = [*_kept, styler][-_KEPT_AT_MOST:]
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(styler)


class Styler(QgsProcessingLayerPostProcessorInterface):
    """Styles one layer.

    Args:
        is_confidence: It is a raster of 0 to 100.
    """

    def __init__(self, is_confidence: bool) -> None:
        super().__init__()
        self._is_confidence = is_confidence

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Take the style that the file brings, or make one."""
        if isinstance(layer, QgsVectorLayer):
            layer.loadDefaultStyle()
        elif isinstance(layer, QgsRasterLayer):
            style_confidence(layer) if self._is_confidence else style_labels(layer)
        layer.triggerRepaint()


def style_labels(layer: QgsRasterLayer) -> None:
    """List the classes of labels alone: of the 256 colours of a table, QGIS lists those without a name, too."""
    table = layer.dataProvider().colorTable(1)
    named = [item for item in table if item.label not in ("", NO_DATA, f"{item.value:g}")]
    if named:
        classes = QgsPalettedRasterRenderer.colorTableToClassData(named)
        layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes))


def style_confidence(layer: QgsRasterLayer) -> None:
    """Draw confidence from dark, unsure, to light."""
    ramp = QgsColorRampShader(0, 100)
    ramp.setColorRampItemList([QgsColorRampShader.ColorRampItem(at, QColor(color), f"{at} %") for at, color in RAMP])
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(ramp)
    layer.setRenderer(QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1, shader))
