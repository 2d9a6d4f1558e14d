"""The command line: one file a command, each parses, calls the library and reports."""

import sys
import warnings
from importlib import import_module
from typing import Any, NoReturn

import click

from geodeeplab.atomic import ALL_WRITTEN
from geodeeplab.cli.process import keep_freed_memory, leave_quickly, let_signals_interrupt
from geodeeplab.cli.progress import begin, is_json, tell_bug, tell_error, tell_warning
from geodeeplab.cli.text import as_options, drop_undecodable_logs, let_all_be_printed
from geodeeplab.errors import GeoDeepLabError, GeoDeepLabWarning

COMMANDS = (
    "segment", "vectorize", "adapt", "train", "chips", "evaluate", "change", "check", "sample", "map",
    "info", "models", "export", "demo",
)  # fmt: skip


NOTHING_WRITTEN = "interrupted, nothing was written: run the command again"


class LazyCommands(click.Group):
    """Load a command's module when it is run."""

    chosen: click.Command | None = None
    """The command that is run, or was."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the data's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        self.chosen = import_module(f"geodeeplab.cli.{cmd_name}").command
        return self.chosen

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command gives
        """Run the command; on Ctrl-C Click prints an empty line first, which is no JSON."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            if is_json():
                raise click.Abort from error
            raise


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="geodeeplab", prog_name="geodeeplab")
def commands() -> None:
    """Land cover from aerial and satellite imagery: a GeoTIFF in, label rasters and polygons out."""


def main() -> None:
    """Run a command; our errors become one line on stderr and exit status 1, bad usage 2."""
    warnings.showwarning = _show_warning
    let_all_be_printed()
    drop_undecodable_logs()
    let_signals_interrupt()
    keep_freed_memory()
    leave_quickly()
    begin(sys.argv[1:])
    try:
        commands.main(prog_name="geodeeplab", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "geodeeplab"
        _fail(f"{error.format_message().rstrip('.')}: see {command} --help", error, status=error.exit_code)
    except GeoDeepLabError as error:
        _fail(with_notes(str(error), error), error)
    except (KeyboardInterrupt, click.Abort) as error:
        _fail(_interrupted(error.__cause__ or error), error)  # Click makes an Abort of Ctrl-C
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate" not in str(error):  # torch's words, on every device
            tell_bug(error)
            raise
        _fail(with_notes("out of memory: use a smaller --tile-size or --batch-size", error), error)
    except Exception as error:
        tell_bug(error)
        raise


def _interrupted(interruption: BaseException) -> str:
    """Say what an interrupted run leaves: nothing, its work, or all outputs."""
    notes = getattr(interruption, "__notes__", [])
    if not notes:
        return NOTHING_WRITTEN
    if any(note.endswith(ALL_WRITTEN) for note in notes):
        return with_notes("interrupted at the very end", interruption)
    return with_notes("interrupted before the outputs were written", interruption)


def with_notes(message: str, error: BaseException) -> str:
    """Add to a message what an error was given on its way, such as how much work is kept."""
    return "; ".join([message, *getattr(error, "__notes__", [])])


def _fail(message: str, error: BaseException, *, status: int = 1) -> NoReturn:
    """Say what is wrong in one line, and leave."""
    tell_error(" ".join(as_options(message, commands.chosen).split()), error, status=status)
    sys.exit(status)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Print our warnings as one line; leave out everyone else's."""
    if issubclass(category, GeoDeepLabWarning):
        tell_warning(" ".join(as_options(str(message)).split()))
