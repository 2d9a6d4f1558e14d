"""GeoDeepLab in QGIS: algorithms that run the command `geodeeplab` of a Python environment of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .plugin import GeoDeepLabPlugin


def classFactory(iface: QgisInterface) -> GeoDeepLabPlugin:
    """Give QGIS the plugin.

    Args:
        iface: The window; None in `qgis_process`.
    """
    from .plugin import GeoDeepLabPlugin

    return GeoDeepLabPlugin(iface)
