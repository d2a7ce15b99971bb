"""The ``packer`` command line: click, nothing else. The work is done in ``packer.commands``."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from packer import __version__
from packer.commands.assimilate import assimilate
from packer.commands.bench import bench
from packer.commands.build import build
from packer.commands.doctor import doctor
from packer.commands.inspect import extract, inspect, verify
from packer.commands.run import run
from packer.commands.runtimes import runtimes
from packer.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, OutputError, PackerError
from packer.standard_output import full_message, is_full, leave_output, tell, usage_message

if TYPE_CHECKING:
    from types import FrameType

EXIT_TERMINATED = 143


class _Commands(click.Group):
    """Ends as programs do when the reader of their output has gone, which click would call a failure."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            leave_output()
            ctx.exit(EXIT_BROKEN_PIPE)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example:\n\n  packer build model.gguf -o chat",
)
@click.version_option(__version__, prog_name="packer")
@click.option("--verbose", is_flag=True, help="Log every command and show tracebacks.")
def cli(verbose: bool) -> None:
    """Pack a GGUF model into one file that chats, on machines with no internet, Python or compiler."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")


for command in (build, assimilate, run, bench, inspect, verify, extract, runtimes, doctor):
    cli.add_command(command)


def main() -> None:
    """Run the command line; expected failures print one message and exit with their documented code."""
    signal.signal(signal.SIGTERM, _terminate)
    verbose = "--verbose" in sys.argv
    try:
        sys.exit(cli.main(prog_name="packer", standalone_mode=False))
    except PackerError as error:
        _fail(f"error: {error}", error.exit_code, verbose)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        _fail(usage_message(error), error.exit_code, verbose=False)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; nothing was left behind", EXIT_INTERRUPTED, verbose=False)
    except OSError as error:
        if not is_full(error):
            raise
        leave_output()
        _fail(full_message(error), OutputError.exit_code, verbose)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM into an orderly exit, so that a half-written file is removed."""
    sys.exit(EXIT_TERMINATED)


def _fail(message: str, code: int, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    tell(message)
    sys.exit(code)
