"""The plugin: it brings the provider, and in the window a button with the algorithms and the settings."""

from __future__ import annotations

from functools import partial

from qgis.core import QgsApplication
from qgis.gui import QgisInterface
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction, QMenu, QToolButton

from .provider import ALGORITHMS, ICON, GeoDeepLabProvider

MENU = "GeoDeepLab"


class GeoDeepLabPlugin:
    """What QGIS loads and unloads.

    Args:
        iface: The window; None in `qgis_process`.
    """

    def __init__(self, iface: QgisInterface | None) -> None:
        self._iface = iface
        self._provider: GeoDeepLabProvider | None = None
        self._menu: QMenu | None = None
        self._button: QAction | None = None

    def initProcessing(self) -> None:
        """Add the provider; `qgis_process` asks for no more."""
        self._provider = GeoDeepLabProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Add the provider, the menu, and a button with the same menu."""
        self.initProcessing()
        if self._iface is None:
            return
        window = self._iface.mainWindow()
        self._menu = QMenu(MENU, window)
        self._menu.setIcon(QIcon(ICON))
        for algorithm in ALGORITHMS:
            action = self._menu.addAction(f"{algorithm.title}…")
            action.triggered.connect(partial(self._open, f"geodeeplab:{algorithm.key}"))
        self._menu.addSeparator()
        self._menu.addAction("Settings…").triggered.connect(self._open_settings)
        self._iface.pluginMenu().addMenu(self._menu)
        button = QToolButton()
        button.setIcon(QIcon(ICON))
        button.setToolTip("GeoDeepLab: land cover from imagery")
        button.setMenu(self._menu)
        button.setPopupMode(QToolButton.InstantPopup)
        self._button = self._iface.addToolBarWidget(button)

    def unload(self) -> None:
        """Take all of it away."""
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
        if self._iface is not None and self._menu is not None:
            self._iface.pluginMenu().removeAction(self._menu.menuAction())
            self._iface.removeToolBarIcon(self._button)
            self._menu.deleteLater()

    def _open(self, algorithm: str, *_: object) -> None:
        """Open the dialog of an algorithm."""
        from processing import execAlgorithmDialog

        execAlgorithmDialog(algorithm, {})

    def _open_settings(self, *_: object) -> None:
        """Open the settings."""
        from .settings_dialog import SettingsDialog

        SettingsDialog(self._iface.mainWindow() if self._iface is not None else None).exec_()
