"""A server for the tests of remote files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest


@dataclass(frozen=True, kw_only=True)
class Served:
    """A folder served over HTTP by `range_server.py`."""

    folder: Path
    url: str

    def behave(self, **behaviour: bool | int) -> None:
        """Say how the server fails from now on, see `range_server.RangeServer.behaviour`; nothing for no failure."""
        with urlopen(Request(self.url, data=json.dumps(behaviour).encode()), timeout=10):
            pass

    def log(self) -> list[tuple[str, str, int, int]]:
        """Give (method, path, status, bytes of the body) of every request since the last call."""
        with urlopen(f"{self.url}/log", timeout=10) as answer:
            return [tuple(one) for one in json.load(answer)]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The test's own folder, served by an HTTP server that knows range requests."""
    program = Path(__file__).with_name("range_server.py")
    with subprocess.Popen([sys.executable, program, tmp_path], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield Served(folder=tmp_path, url=f"http://127.0.0.1:{int(server.stdout.readline())}")
        server.kill()
