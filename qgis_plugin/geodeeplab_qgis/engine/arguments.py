"""Command lines of `geodeeplab`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Union

from .errors import PluginError

Value = Union[None, bool, int, float, str, Sequence[str]]
"""What an option may have: None, False and empty text leave it out, True makes it a flag, several repeat it."""


def command_line(
    command: str, inputs: Sequence[str], options: Mapping[str, Value], *, further: str = "", is_resumed: bool = False
) -> list[str]:
    """Give the arguments that follow `geodeeplab`.

    Outputs that exist are replaced, as in all of Processing; whoever chose the file was asked by QGIS.

    Args:
        command: its name.
        inputs: positional arguments.
        options: values by option, such as `--aoi`.
        further: more options, as one writes them in a shell.
        is_resumed: go on with a run that was cut off.
    """
    arguments = [command, "--progress=json", "--resume" if is_resumed else "--overwrite"]
    for option, value in options.items():
        arguments.extend(_arguments_of(option, value))
    return [*arguments, *split_words(further), "--", *inputs]


def _arguments_of(option: str, value: Value) -> list[str]:
    """Write an option with `=`, so that no value is taken for an option."""
    if value is None or value is False or value == "":
        return []
    if value is True:
        return [option]
    if isinstance(value, (int, float)):
        return [f"{option}={value:.15g}"]
    return [f"{option}={one}" for one in ([value] if isinstance(value, str) else value)]


def split_words(text: str) -> list[str]:
    r"""Split text at blanks that are not quoted; a backslash is a letter like others, as in `C:\data`."""
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.commenters = ""
    words.escape = ""
    try:
        return list(words)
    except ValueError as error:
        raise PluginError(f"a quote in '{text}' is not closed: close it") from error


def shown(arguments: Sequence[str]) -> str:
    """Write a command line for the log, so that it runs when copied into a shell."""
    return " ".join(shlex.quote(one) for one in arguments)
