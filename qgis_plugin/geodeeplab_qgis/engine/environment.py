"""The Python environment that has `geodeeplab`: where it is, and whether it is of the plugin's version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .errors import PluginError

OVERRIDE = "GEODEEPLAB_ENVIRONMENT"
"""An environment variable that says where it is, before all settings: for programs, and for tests."""
PATIENCE_S = 120.0
"""The first start of an environment on a slow disk takes long."""
OF_QGIS = (
    "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_DATA", "PROJ_LIB", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP",
    "QT_PLUGIN_PATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__",
)  # fmt: skip
"""What QGIS sets for its own libraries; others would load the wrong files."""


def find_command(stated: str, made: Path, environ: Mapping[str, str]) -> Path:
    """Find the command `geodeeplab`.

    Args:
        stated: What the settings name: the folder of an environment, or the command itself; may be empty.
        made: The folder of the environment that the plugin makes.
        environ: Variables of the process.

    Raises:
        PluginError: There is none, or not where it should be.
    """
    for named_by, place in ((f"in the variable {OVERRIDE}", environ.get(OVERRIDE, "")), ("in the settings", stated)):
        if place:
            return _command_at(Path(place), named_by)
    found = command_in(made) or _on_path(environ)
    if found is None:
        raise PluginError(
            "there is no environment for GeoDeepLab yet: make one, or name one, in Plugins ▸ GeoDeepLab ▸ Settings"
        )
    return found


def command_in(folder: Path) -> Path | None:
    """Give the command in an environment, None where it has none."""
    for relative in ("Scripts/geodeeplab.exe", "bin/geodeeplab"):
        if (folder / relative).is_file():
            return folder / relative
    return None


def _command_at(place: Path, named_by: str) -> Path:
    found = command_in(place) or (place if place.is_file() else None)
    if found is None:
        problem = "has no geodeeplab in it" if place.is_dir() else "is not there"
        raise PluginError(
            f"the environment '{place}' that is named {named_by} {problem}: name another, or make one with Plugins ▸ "
            "GeoDeepLab ▸ Settings"
        )
    return found


def _on_path(environ: Mapping[str, str]) -> Path | None:
    found = shutil.which("geodeeplab", path=environ.get("PATH", ""))
    return Path(found) if found else None


def read_version(command: Path) -> str:
    """Ask the command for its version.

    Raises:
        PluginError: It does not run, or is another program.
    """
    try:
        told = run_quietly([str(command), "--version"])
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        last = next((line for line in reversed(str(detail).splitlines()) if line.strip()), "no reason told")
        raise PluginError(
            f"'{command}' does not run ({last.strip()}): make the environment anew in Plugins ▸ GeoDeepLab ▸ Settings"
        ) from error
    found = re.search(r"geodeeplab, version (\S+)", told)
    if found is None:
        raise PluginError(f"'{command}' is not geodeeplab: name its environment in Plugins ▸ GeoDeepLab ▸ Settings")
    return found.group(1)


def check_version(found: str, wanted: str, command: Path) -> None:
    """Refuse an environment whose first two numbers are not those of the plugin's version.

    Raises:
        PluginError: They are not.
    """
    series = _series(wanted)
    if _series(found) != series:
        raise PluginError(
            f"'{command}' is geodeeplab {found}, and this plugin needs {series[0]}.{series[1]}: make the environment "
            "anew in Plugins ▸ GeoDeepLab ▸ Settings, or install the plugin of its version"
        )


def _series(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found.group(1)), int(found.group(2))) if found else (-1, -1)


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the variables for a process of another Python: without those of QGIS, and with UTF-8."""
    kept = {name: value for name, value in environ.items() if name not in OF_QGIS}
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def run_quietly(arguments: list[str]) -> str:
    """Run a command that takes a moment, without a window on Windows; give what it printed.

    Raises:
        OSError, subprocess.SubprocessError: It does not run, or fails.
    """
    done = subprocess.run(
        arguments,
        env=clean_environ(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=PATIENCE_S,
        creationflags=NO_WINDOW,
    )
    return done.stdout


NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""On Windows a console program would open a window."""
