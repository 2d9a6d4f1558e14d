"""Making an environment: what is found, refused and run."""

import os
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from qgis_plugin.geodeeplab_qgis.engine.errors import CancelledError, PluginError
from qgis_plugin.geodeeplab_qgis.engine.making import check_folder, find_python, find_requirement, make_environment

pytestmark = pytest.mark.skipif(os.name != "posix", reason="writes shell scripts")


def write_python(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


def test_the_first_python_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    write_python(tmp_path / "python3.12", "a broken one")
    write_python(tmp_path / "python3.11", f"3 11 {tmp_path}/a python")
    write_python(tmp_path / "python3", "3 9 /usr/bin/python3")
    assert find_python("", {"PATH": str(tmp_path)}) == tmp_path / "a python"


def test_one_that_is_too_old_or_none_is_told(tmp_path: Path) -> None:
    old = write_python(tmp_path / "python3", "3 9 /usr/bin/python3")
    with pytest.raises(PluginError, match=r"is 3\.9: name a Python of 3\.11 or newer"):
        find_python(str(old), {})
    with pytest.raises(PluginError, match="does not run, or has no venv"):
        find_python(str(tmp_path / "gone"), {})
    with pytest.raises(PluginError, match=r"no Python of 3\.11 or newer with venv was found: install one"):
        find_python("", {"PATH": str(tmp_path)})


def test_the_carried_wheel_is_installed_unless_the_settings_name_another(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="carries no wheel"):
        find_requirement(" ", tmp_path)
    wheel = tmp_path / "wheel" / "geodeeplab-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    assert find_requirement("", tmp_path) == [f"{wheel}[train]"]
    assert find_requirement("'a wheel.whl' torch==2.11", tmp_path) == ["a wheel.whl", "torch==2.11"]


def test_a_folder_with_something_else_in_it_is_never_emptied(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(PluginError, match="is no Python environment: move it away"):
        check_folder(tmp_path)
    (tmp_path / "pyvenv.cfg").touch()
    check_folder(tmp_path)


def write_wheel(folder: Path) -> Path:
    """Write a wheel that brings a command `geodeeplab`, and needs nothing."""
    path = folder / "geodeeplab-0.1.0-py3-none-any.whl"
    info = "geodeeplab-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("geodeeplab.py", "def main():\n    print('geodeeplab, version 0.1.0')\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: geodeeplab\nVersion: 0.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngeodeeplab = geodeeplab:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.slow
def test_venv_and_pip_make_it(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = tmp_path / "profile" / "environment"
    command = make_environment(
        folder,
        python=Path(sys.executable),
        requirement=[str(write_wheel(tmp_path))],
        pip_arguments="--no-index",
        on_line=lines.append,
        is_cancelled=lambda: False,
    )
    assert command == folder / "bin" / "geodeeplab"
    assert "Successfully installed geodeeplab-0.1.0" in "\n".join(lines)
    assert [line for line in lines if line.startswith("$ ")][1].endswith(".whl")


def test_a_step_that_fails_or_is_cancelled_is_told(tmp_path: Path) -> None:
    fails = write_python(tmp_path / "fails", "why")
    fails.write_text("#!/bin/sh\necho why\nexit 3\n")
    lines: list[str] = []
    make = {"requirement": ["x"], "pip_arguments": "", "on_line": lines.append}
    with pytest.raises(PluginError, match="venv ended with status 3"):
        make_environment(tmp_path / "a", python=fails, is_cancelled=lambda: False, **make)  # type: ignore[arg-type]
    assert lines[-1] == "why"
    with pytest.raises(CancelledError, match="not complete"):
        make_environment(tmp_path / "b", python=fails, is_cancelled=lambda: True, **make)  # type: ignore[arg-type]


def test_what_brings_no_geodeeplab_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False)
    (folder / "bin" / "python").unlink()
    write_python(folder / "bin" / "python", "installed nothing")
    python = write_python(tmp_path / "python", "made nothing")
    with pytest.raises(PluginError, match="'x' brings no geodeeplab"):
        make_environment(
            folder,
            python=python,
            requirement=["x"],
            pip_arguments="",
            on_line=lambda _: None,
            is_cancelled=lambda: False,
        )
