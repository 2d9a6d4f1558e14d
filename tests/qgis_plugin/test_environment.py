"""Where the environment is, and what is said where it is not."""

import os
import sys
from pathlib import Path

import pytest

from qgis_plugin.geodeeplab_qgis.engine.environment import (
    OVERRIDE,
    check_version,
    clean_environ,
    find_command,
    read_version,
)
from qgis_plugin.geodeeplab_qgis.engine.errors import PluginError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="writes shell scripts")


def make_command(folder: Path, prints: str = "geodeeplab, version 0.1.0", *, status: int = 0) -> Path:
    path = folder / "bin" / "geodeeplab"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\necho 'a reason' >&2\nexit {status}\n")
    path.chmod(0o755)
    return path


def test_the_variable_counts_before_the_settings_before_what_was_made_before_the_path(tmp_path: Path) -> None:
    commands = [make_command(tmp_path / name) for name in ("variable", "stated", "made", "path")]
    environ = {OVERRIDE: str(tmp_path / "variable"), "PATH": str(tmp_path / "path" / "bin")}
    stated, made = str(tmp_path / "stated"), tmp_path / "made"
    assert find_command(stated, made, environ) == commands[0]
    del environ[OVERRIDE]
    assert find_command(stated, made, environ) == commands[1]
    assert find_command(str(commands[1]), made, environ) == commands[1]
    assert find_command("", made, environ) == commands[2]
    assert find_command("", tmp_path / "none", environ) == commands[3]


def test_one_line_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"there is no environment .* make one, or name one, in Plugins"):
        find_command("", tmp_path / "none", {"PATH": ""})
    with pytest.raises(PluginError, match="named in the settings is not there"):
        find_command(str(tmp_path / "gone"), tmp_path, {})
    with pytest.raises(PluginError, match=f"named in the variable {OVERRIDE} has no geodeeplab in it"):
        find_command("", tmp_path, {OVERRIDE: str(tmp_path)})


def test_the_version_is_what_the_command_says(tmp_path: Path) -> None:
    assert read_version(make_command(tmp_path / "a", "geodeeplab, version 0.1.0.dev0")) == "0.1.0.dev0"
    with pytest.raises(PluginError, match=r"does not run \(a reason\)"):
        read_version(make_command(tmp_path / "b", status=1))
    with pytest.raises(PluginError, match="is not geodeeplab"):
        read_version(make_command(tmp_path / "c", "other, version 1"))
    with pytest.raises(PluginError, match="does not run"):
        read_version(tmp_path / "gone")


@pytest.mark.parametrize(("found", "is_fine"), [("0.1.0.dev0", True), ("0.1.9", True), ("0.2.0", False), ("?", False)])
def test_the_first_two_numbers_must_be_those_of_the_plugin(found: str, is_fine: bool) -> None:
    if is_fine:
        check_version(found, "0.1.0", Path("geodeeplab"))
    else:
        with pytest.raises(PluginError, match=r"this plugin needs 0\.1: make the environment anew"):
            check_version(found, "0.1.0", Path("geodeeplab"))


def test_another_python_gets_nothing_of_the_libraries_of_qgis() -> None:
    found = clean_environ({"PROJ_LIB": "/qgis", "PYTHONHOME": "/qgis", "HOME": "/home/me", "HTTPS_PROXY": "p"})
    assert found == {"HOME": "/home/me", "HTTPS_PROXY": "p", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def test_this_environment_is_found() -> None:
    found = find_command(sys.prefix, Path("none"), {})
    assert read_version(found).startswith("0.")
