"""What is printed: letters that a terminal lacks, and options by the names that they have on the command line."""

import codecs
import json
import re
import sys
from collections.abc import Mapping
from types import TracebackType

import click

PLAIN = {
    "×": "x", "→": "->", "…": "...", "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "±": "+-", "²": "2", "·": "*",
    "’": "'", "\u2018": "'", "“": '"', "”": '"', "\xa0": " ",
}  # fmt: skip
"""What stands for typographic signs where an encoding lacks them."""
PARAMETERS = {"executor": "dask", "dst_folder": "output", "dst": "output", "path": "chips"}
"""Arguments that commands have under another name."""
_ARGUMENT = re.compile(r"`([a-z][a-z0-9_]*)=([^`]*)`")


def let_all_be_printed() -> None:
    """Let stdout and stderr take any text: signs that their encoding lacks become plain ones, or escapes.

    Without it, a file name or a class name ends a command in a traceback where the output is redirected, as it has the
    code page of the system then.
    """
    codecs.register_error("geodeeplab", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None without a console, or anything that a caller has put there
            stream.reconfigure(errors="geodeeplab")


def drop_undecodable_logs() -> None:
    """Print nothing about messages of GDAL that are no UTF-8, as names in a damaged file or another code page may be.

    rasterio's handler of messages cannot decode them and cannot raise either, so Cython prints the exception, which has
    no traceback, and Python says that it was ignored. The error itself arrives as it should. All else is printed.
    """
    print_exception, print_unraisable = sys.excepthook, sys.unraisablehook

    def print_raised(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if trace is not None or not isinstance(error, UnicodeDecodeError):
            print_exception(kind, error, trace)

    def print_ignored(ignored: "sys.UnraisableHookArgs") -> None:
        if "rasterio._e" not in str(ignored.object) or not isinstance(ignored.exc_value, UnicodeDecodeError):
            print_unraisable(ignored)

    sys.excepthook, sys.unraisablehook = print_raised, print_ignored


def as_options(message: str, command: click.Command | None = None) -> str:
    """Write the arguments that a message names as options of a command, by default of the one that is running.

    Messages name arguments as Python does, between backticks, so that one text serves both: `tile_size=` becomes
    --tile-size, and `overwrite=True` --overwrite. What `train` has in its TOML file only is told as such.
    """
    context = click.get_current_context(silent=True)
    if command is None and context is not None:
        command = context.command
    options = [] if command is None else [one for one in command.params if isinstance(one, click.Option)]
    names = {str(one.name): max(one.opts, key=len) for one in options}
    turned_off = {str(one.name): one.secondary_opts[0] for one in options if one.secondary_opts}
    return _ARGUMENT.sub(lambda found: _option(names, turned_off, found[1], found[2].strip()), message)


def _option(names: Mapping[str, str], turned_off: Mapping[str, str], argument: str, value: str) -> str:
    name = argument if argument in names else PARAMETERS.get(argument, argument)
    if name not in names and "config" in names:
        return f"{name} in the --config file"
    option = names.get(name, f"--{name.replace('_', '-')}")
    if value in ("", "True"):
        return option
    if value == "False":
        return turned_off.get(argument, f"no {option}")
    return f"{option} {value.strip('()[]').replace('None', 'none').replace(', ', ',').translate(_QUOTES)}"


_QUOTES = str.maketrans("", "", "\"'")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded (see `codecs.register_error`)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(one) or json.dumps(one)[1:-1] for one in letters), error.end
