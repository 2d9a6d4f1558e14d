"""A file server with range requests, as object stores have them, that logs what it sends and fails on demand.

    python range_server.py FOLDER

It prints its port and serves until it is killed. A program of its own: GDAL holds Python's lock while it waits for an
answer, so a server in the same process would never give one. POST sets how it behaves, GET /log gives what it sent.
"""

import contextlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CUT = -1
"""As a failure's code: the connection is cut in the middle of the body."""


class RangeServer(ThreadingHTTPServer):
    """Serves one folder."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.log: list[tuple[str, str, int, int]] = []
        """(method, path, status, bytes of the body) of each request."""
        self.behaviour: dict[str, Any] = {}
        """ranges: false to ignore range requests; code: the failure; from_byte: where it begins; times: how often."""


class Handler(BaseHTTPRequestHandler):
    """Answers one client."""

    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_HEAD(self) -> None:
        self.answer_with_file()

    def do_GET(self) -> None:
        if self.path == "/log":
            self.answer(200, json.dumps(self.server.log).encode())
            self.server.log.clear()
        else:
            self.answer_with_file()

    def do_POST(self) -> None:
        self.server.behaviour = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, b"")

    def answer_with_file(self) -> None:
        path = self.path.partition("?")[0]
        file = self.server.folder / path.lstrip("/")
        content = file.read_bytes() if file.is_file() else None
        wanted = self.headers.get("Range") if self.server.behaviour.get("ranges", True) else None
        first, _, last = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first), min(len(content or b""), int(last or sys.maxsize - 1) + 1)
        failure = self.failure(start)
        cut = failure == CUT and self.command == "GET"
        if failure is not None and failure != CUT:
            code, body, ranges = failure, b"", None
        elif content is None:
            code, body, ranges = 404, b"", None
        else:
            code, body = 206 if wanted else 200, content[start:stop]
            ranges = f"bytes {start}-{stop - 1}/{len(content)}" if wanted else None
        sent = self.answer(code, body, ranges=ranges, cut=cut)
        self.server.log.append((self.command, path, code, sent))

    def failure(self, start: int) -> int | None:
        """Give the code to fail with, if it is time to."""
        behaviour = self.server.behaviour
        if start < behaviour.get("from_byte", 0) or behaviour.get("times", 1) <= 0:
            return None
        if "times" in behaviour:
            behaviour["times"] -= 1
        return behaviour.get("code")

    def answer(self, code: int, body: bytes, *, ranges: str | None = None, cut: bool = False) -> int:
        """Send an answer, and give the bytes of its body that were sent."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        if ranges:
            self.send_header("Content-Range", ranges)
        self.end_headers()
        if self.command == "HEAD":
            return 0
        if cut:
            body, self.close_connection = body[: len(body) // 2], True
        with contextlib.suppress(OSError):  # the client has gone
            self.wfile.write(body)
        return len(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


if __name__ == "__main__":
    with RangeServer(Path(sys.argv[1])) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
