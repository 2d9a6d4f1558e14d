import errno
import os
from pathlib import Path

import pytest

from geodeeplab.atomic import atomic_file, make_fresh_folder, open_plain, output_errors, read_plain, write_file
from geodeeplab.errors import OutputError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_file(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:  # noqa: PT012
        file.write(b"new")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert (names_in(tmp_path), path.read_bytes()) == (["a.txt"], b"old")
    with atomic_file(path) as file:
        file.write(b"new")
    assert (names_in(tmp_path), path.read_bytes()) == (["a.txt"], b"new")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fill_up(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fill_up)
    with pytest.raises(OutputError, match="no space left"), output_errors(tmp_path / "a.txt"):
        write_file(tmp_path / "a.txt", b"new")
    assert names_in(tmp_path) == []


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "a").symlink_to(precious)
    write_file(tmp_path / "a", b"new")
    assert not (tmp_path / "a").is_symlink()
    assert precious.read_text() == "precious"


def test_a_name_that_is_taken_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    monkeypatch.setattr("geodeeplab.atomic.secrets.token_hex", lambda _: "known")
    (tmp_path / ".a.known.geodeeplab-part").symlink_to(precious)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "a", b"new")
    assert precious.read_text() == "precious"


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with open_plain(tmp_path / "a", append=True) as file:
        file.write(b"b")
    assert read_plain(tmp_path / "a") == b"ab"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError, match=r"it is (a link|no plain file)"):
            read_plain(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "nothing", append=True)


def test_a_fresh_folder_takes_the_place_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").touch()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    make_fresh_folder(tmp_path / "link")
    (tmp_path / "link" / "b").touch()
    make_fresh_folder(tmp_path / "link")
    assert names_in(tmp_path / "link") == []
    assert (tmp_path / "link").stat().st_mode & 0o777 == 0o700
    assert names_in(tmp_path / "theirs") == ["a"]
