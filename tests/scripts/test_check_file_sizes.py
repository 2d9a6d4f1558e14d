from pathlib import Path

import pytest

from check_file_sizes import main


@pytest.mark.parametrize(("size", "exit_status"), [(0, 0), (2048, 0), (2049, 1)])
def test_limit_is_inclusive(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int, exit_status: int) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(size))
    assert main(["--max-kb", "2", str(path), str(tmp_path / "deleted.bin")]) == exit_status
    assert ("file.bin: 3 KB, the limit is 2 KB" in capsys.readouterr().out) == bool(exit_status)
