"""Make an environment with `geodeeplab`: a Python that is new enough, `venv`, pip."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .arguments import split_words
from .environment import command_in, run_quietly
from .errors import CancelledError, PluginError
from .process import follow

LEAST = (3, 11)
"""What `geodeeplab` needs."""
NAMES = ("python3.13", "python3.12", "python3.11", "python3", "python")
EXTRA = "train"
"""Of the carried wheel: what the algorithm Train needs."""
_TELL_VERSION = "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1], sys.executable)"


def find_python(stated: str, environ: Mapping[str, str]) -> Path:
    """Find a Python that can make the environment.

    Args:
        stated: What the settings name; may be empty.
        environ: Variables of the process.

    Raises:
        PluginError: There is none, or the one that is named is too old or lacks `venv`.
    """
    for arguments in [[stated]] if stated else _candidates(environ):
        version, python = _ask(arguments)
        if version >= LEAST:
            return python
        if stated:
            problem = f"is {version[0]}.{version[1]}" if version > (0, 0) else "does not run, or has no venv"
            raise PluginError(f"'{stated}' {problem}: name a Python of {LEAST[0]}.{LEAST[1]} or newer, with venv")
    raise PluginError(
        f"no Python of {LEAST[0]}.{LEAST[1]} or newer with venv was found: install one from python.org (on Debian and "
        "Ubuntu: apt install python3-venv), or name one here"
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[list[str]]:
    """List what may be one: by name, and by the launcher of Windows."""
    launcher = shutil.which("py", path=environ.get("PATH", ""))
    if os.name == "nt" and launcher:
        yield [launcher, "-3"]
    for name in NAMES:
        found = shutil.which(name, path=environ.get("PATH", ""))
        if found:
            yield [found]


def _ask(arguments: list[str]) -> tuple[tuple[int, int], Path]:
    """Give a Python's version and path; version 0.0 where it does not run."""
    try:
        major, minor, path = run_quietly([*arguments, "-c", _TELL_VERSION]).strip().split(" ", 2)
        return (int(major), int(minor)), Path(path)
    except (OSError, subprocess.SubprocessError, ValueError):
        return (0, 0), Path(arguments[0])


def find_requirement(stated: str, plugin_folder: Path) -> list[str]:
    """Give what pip is to install: what the settings name, else the wheel that the plugin carries.

    Raises:
        PluginError: There is neither.
    """
    if stated.strip():
        return split_words(stated)
    wheels = sorted((plugin_folder / "wheel").glob("geodeeplab-*.whl"))
    if not wheels:
        raise PluginError(
            "this copy of the plugin carries no wheel: name what pip is to install, such as the path of a wheel"
        )
    return [f"{wheels[-1]}[{EXTRA}]"]


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than an environment, which would be emptied.

    Raises:
        PluginError: It does.
    """
    if folder.exists() and not (folder / "pyvenv.cfg").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise PluginError(f"'{folder}' is there and is no Python environment: move it away, or name another folder")


def make_environment(
    folder: Path,
    *,
    python: Path,
    requirement: list[str],
    pip_arguments: str,
    on_line: Callable[[str], None],
    is_cancelled: Callable[[], bool],
) -> Path:
    """Make an environment, in place of one that is there.

    Args:
        folder: Where.
        python: Who makes it.
        requirement: What pip installs.
        pip_arguments: More arguments for pip, as one writes them in a shell.
        on_line: Called with each line that is printed.
        is_cancelled: Asked several times a second.

    Returns:
        The command `geodeeplab` in it.

    Raises:
        PluginError: It cannot be made.
        CancelledError: The user cancelled.
    """
    check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    inner = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(inner), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    steps = (
        ("venv", [str(python), "-m", "venv", "--clear", str(folder)]),
        ("pip", [*pip, *split_words(pip_arguments), *requirement]),
    )
    for name, arguments in steps:
        on_line(f"$ {' '.join(arguments)}")
        try:
            status = follow(arguments, on_line=lambda _, line: on_line(line), is_cancelled=is_cancelled)
        except OSError as error:
            raise PluginError(f"'{arguments[0]}' does not start: {error.strerror or error}") from error
        if is_cancelled():
            raise CancelledError("cancelled: the environment is not complete, make it again")
        if status:
            raise PluginError(f"{name} ended with status {status}: the lines above say why")
    command = command_in(folder)
    if command is None:
        raise PluginError(f"'{' '.join(requirement)}' brings no geodeeplab: name its wheel")
    return command
