# SPDX-License-Identifier: GPL-2.0-or-later
"""GeoDeepLab in QGIS: algorithms that run the command `geodeeplab` of a Python environment of its own.

The plugin is free software under the GNU General Public License, version 2 or, at your option, any later one: LICENSE.
"""

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
