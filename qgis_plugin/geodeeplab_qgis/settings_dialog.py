"""The settings: where the environment is, and the button that makes one."""

from __future__ import annotations

import html
import os
from pathlib import Path

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QThread, pyqtSignal
from qgis.PyQt.QtGui import QFontDatabase
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from . import settings
from .engine.environment import check_version, find_command, read_version
from .engine.errors import PluginError
from .engine.making import find_python, find_requirement, make_environment

INTRODUCTION = (
    "GeoDeepLab runs in a Python environment of its own, so that nothing is installed into QGIS. Make one here, once, "
    "which takes some minutes and 1 to 7 GB of disk, or name one that has <code>geodeeplab</code> already."
)


class SettingsDialog(QDialog):
    """Shows and changes the settings.

    Args:
        parent: The window above which it opens.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("GeoDeepLab settings")
        self.resize(720, 620)
        self._maker: Maker | None = None
        self.environment = QgsFileWidget()
        self.environment.setStorageMode(QgsFileWidget.GetDirectory)
        self.environment.setFilePath(settings.stated(settings.ENVIRONMENT))
        self.environment.lineEdit().setPlaceholderText(f"{settings.own_environment()} (made below)")
        self.python = QgsFileWidget()
        self.python.setFilePath(settings.stated(settings.PYTHON))
        self.python.lineEdit().setPlaceholderText("the newest that is found; 3.11 at least")
        self.requirement = QLineEdit(settings.stated(settings.REQUIREMENT))
        self.requirement.setPlaceholderText("the wheel that the plugin carries")
        self.pip_arguments = QLineEdit(settings.stated(settings.PIP_ARGUMENTS))
        self.pip_arguments.setPlaceholderText("such as --index-url … --extra-index-url … for the CPU build of torch")
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setFont(QFontDatabase.systemFont(QFontDatabase.FixedFont))
        self.log.setMaximumBlockCount(10_000)
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.make_button = QPushButton("Make the environment")
        self.make_button.clicked.connect(self.make_or_cancel)
        self.check_button = QPushButton("Check")
        self.check_button.clicked.connect(self.check)
        self._lay_out()
        self.check()

    def _lay_out(self) -> None:
        introduction = QLabel(INTRODUCTION)
        introduction.setWordWrap(True)
        used = QGroupBox("Environment in use")
        form = QFormLayout(used)
        row = QHBoxLayout()
        row.addWidget(self.environment)
        row.addWidget(self.check_button)
        form.addRow("Folder", row)
        form.addRow(self.state)
        made = QGroupBox("Make one")
        form = QFormLayout(made)
        form.addRow("Python", self.python)
        form.addRow("Install", self.requirement)
        form.addRow("More for pip", self.pip_arguments)
        form.addRow(self.make_button)
        form.addRow(self.log)
        buttons = QDialogButtonBox(QDialogButtonBox.Ok | QDialogButtonBox.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (introduction, used, made, buttons):
            layout.addWidget(widget)

    def check(self, *_: object) -> None:
        """Say what the environment is, or what is wrong with it."""
        try:
            path = find_command(self.environment.filePath(), settings.own_environment(), os.environ)
            version = read_version(path)
            check_version(version, settings.plugin_version(), path)
        except PluginError as error:
            self.state.setText(f"<span style='color:#b00020'>{html.escape(str(error))}</span>")
        else:
            self.state.setText(f"geodeeplab {version}: {path}")

    def make_or_cancel(self, *_: object) -> None:
        """Begin to make the environment; while it is made, stop that."""
        if self._maker is not None:
            self._maker.requestInterruption()
            self.make_button.setEnabled(False)
            return
        self.save()
        self.log.clear()
        self._maker = Maker(self.python.filePath(), self.requirement.text(), self.pip_arguments.text())
        self._maker.printed.connect(self.log.appendPlainText)
        self._maker.finished.connect(self._made)
        self.make_button.setText("Cancel")
        self._maker.start()

    def _made(self) -> None:
        maker, self._maker = self._maker, None
        self.make_button.setText("Make the environment")
        self.make_button.setEnabled(True)
        if maker is not None:
            self.log.appendPlainText(maker.ending)
            if maker.is_made:
                self.environment.setFilePath("")  # the one that was made is the one in use
                self.save()
        self.check()

    def save(self) -> None:
        """Keep the settings."""
        settings.state(settings.ENVIRONMENT, self.environment.filePath())
        settings.state(settings.PYTHON, self.python.filePath())
        settings.state(settings.REQUIREMENT, self.requirement.text())
        settings.state(settings.PIP_ARGUMENTS, self.pip_arguments.text())

    def accept(self) -> None:
        """Keep the settings, and close."""
        self.save()
        self._stop()
        super().accept()

    def reject(self) -> None:
        """Close."""
        self._stop()
        super().reject()

    def _stop(self) -> None:
        if self._maker is not None:
            self._maker.requestInterruption()
            self._maker.wait()


class Maker(QThread):
    """Makes the environment in a thread of its own.

    Args:
        python: The Python that is named, or nothing.
        requirement: What pip installs, or nothing.
        pip_arguments: More for pip.
    """

    printed = pyqtSignal(str)

    def __init__(self, python: str, requirement: str, pip_arguments: str) -> None:
        super().__init__()
        self._python, self._requirement, self._pip_arguments = python, requirement, pip_arguments
        self.ending = ""
        """What is to be said at the end."""
        self.is_made = False

    def run(self) -> None:
        """Make it."""
        try:
            command = make_environment(
                settings.own_environment(),
                python=find_python(self._python, os.environ),
                requirement=find_requirement(self._requirement, settings.FOLDER),
                pip_arguments=self._pip_arguments,
                on_line=self.printed.emit,
                is_cancelled=self.isInterruptionRequested,
            )
            self.ending = f"geodeeplab {read_version(Path(command))} is ready"
            self.is_made = True
        except (PluginError, OSError) as error:
            self.ending = f"Not made: {error}"
