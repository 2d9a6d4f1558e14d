"""What the plugin keeps in QGIS's settings, and where things lie."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from qgis.core import QgsApplication, QgsSettings

from .engine.environment import check_version, find_command, read_version

FOLDER = Path(__file__).resolve().parent
"""Of the plugin."""
ENVIRONMENT, PYTHON, REQUIREMENT, PIP_ARGUMENTS, MODELS = (
    "geodeeplab/environment", "geodeeplab/python", "geodeeplab/requirement", "geodeeplab/pip_arguments",
    "geodeeplab/models",
)  # fmt: skip
KEPT_MODELS = 20

_versions: dict[tuple[str, float], str] = {}


def stated(key: str) -> str:
    """Give a setting, empty where there is none."""
    return str(QgsSettings().value(key, "") or "").strip()


def state(key: str, value: str) -> None:
    """Keep a setting."""
    QgsSettings().setValue(key, value.strip())


def own_environment() -> Path:
    """Give the folder of the environment that the plugin makes, in the user's profile."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "geodeeplab" / "environment"


def plugin_version() -> str:
    """Give the version in metadata.txt."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(FOLDER / "metadata.txt", encoding="utf-8")
    return metadata["general"]["version"]


def command() -> Path:
    """Find the command `geodeeplab`.

    Raises:
        PluginError: There is none.
    """
    return find_command(stated(ENVIRONMENT), own_environment(), os.environ)


def checked_command() -> Path:
    """Find the command, and make sure that it runs and is of this version.

    Raises:
        PluginError: There is none, or it is another.
    """
    path = command()
    key = str(path), path.stat().st_mtime
    if key not in _versions:
        _versions[key] = read_version(path)
    check_version(_versions[key], plugin_version(), path)
    return path


def made_models() -> list[str]:
    """List the model files that were made from here and are still there, newest first."""
    value = QgsSettings().value(MODELS, [])
    paths = [value] if isinstance(value, str) else list(value or [])
    return [path for path in paths if path and Path(path).is_file()]


def keep_model(path: str) -> None:
    """Remember a model that was made."""
    QgsSettings().setValue(MODELS, [path, *(one for one in made_models() if one != path)][:KEPT_MODELS])
