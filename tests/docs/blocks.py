"""What pages tell their readers to run: fenced blocks, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = ("", "sh", "bash", "shell", "console")
PROGRAMS = ("geodeeplab", "pip", "python", "make", "uvx", "dask", "qgis_process", "docker", "conda", "curl", "git")
"""A line of a block of no other language is a command if it begins with one of these; others are what is printed."""


def shell_commands(page: str) -> list[str]:
    """List the commands of a page, without comments, in order."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for language, body in FENCE.findall(text) if language in SHELL for line in body.splitlines()]
    found = (shlex.join(shlex.split(line, comments=True)) for line in lines if _program(line) in PROGRAMS)
    return [command for command in found if command]


def python_blocks(page: str) -> Iterator[tuple[int, str]]:
    """Yield the Python blocks of a page, each with the number of its first line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if match[1] == "python":
            yield text.count("\n", 0, match.start(2)) + 1, match[2]


def _program(line: str) -> str:
    words = [word for word in line.split() if "=" not in word.partition("/")[0]]  # after NAME=value
    return words[0] if words else ""
