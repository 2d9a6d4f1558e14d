"""The provider of the algorithms."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.adapt import Adapt
from .algorithms.base import GeoDeepLabAlgorithm
from .algorithms.evaluate import Evaluate
from .algorithms.segment import Segment
from .algorithms.suggest import Suggest
from .algorithms.train import Train
from .algorithms.vectorize import Vectorize
from .settings import FOLDER, plugin_version

ALGORITHMS: tuple[type[GeoDeepLabAlgorithm], ...] = (Segment, Adapt, Suggest, Vectorize, Evaluate, Train)
ICON = str(FOLDER / "icon.svg")


class GeoDeepLabProvider(QgsProcessingProvider):
    """Six algorithms, each a command of `geodeeplab`."""

    def id(self) -> str:
        """Give the name before the colon."""
        return "geodeeplab"

    def name(self) -> str:
        """Give the name in the toolbox."""
        return "GeoDeepLab"

    def icon(self) -> QIcon:
        """Give the icon in the toolbox."""
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        """Give the icon's path."""
        return ICON

    def versionInfo(self) -> str:
        """Give the plugin's version."""
        return plugin_version()

    def loadAlgorithms(self) -> None:
        """List the algorithms."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        """Take GeoPackages, which carry their style."""
        return "gpkg"

    def defaultRasterFileExtension(self) -> str:
        """Take GeoTIFFs."""
        return "tif"

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """List what the command writes and any QGIS opens."""
        return ["gpkg", "fgb", "geojson"]

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """List what the command writes."""
        return ["tif"]

    def supportsNonFileBasedOutput(self) -> bool:
        """Write files only: another program does."""
        return False
