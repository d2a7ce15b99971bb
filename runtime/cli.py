"""The command line of a packed file: options only; the modes are elsewhere and imported when they are needed."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from packer.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, InputError, OutputError, PackerError
from packer.standard_output import full_message, is_full, leave_output, print_utf8, tell, usage_message
from runtime.options import make_options
from runtime.restart import take_restart
from runtime.timings import STARTED_VARIABLE, Timings
from runtime.windows.windowed import log_path, print_to_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runtime.bundle import Contents, ModelSource
    from runtime.devices.report import DeviceReport
    from runtime.instance import Instance
    from runtime.llama.library import Library
    from runtime.session import Session
    from runtime.settings import Settings

_LOG = logging.getLogger(__name__)

HELP = """Chat with the language model inside this file.

Without options: starts a local web server, opens the chat page in the browser and serves the OpenAI API until Ctrl-C.

\b
Examples:
  {program}                                  open the chat page
  {program} -p "Why is the sky blue?"        answer once and exit
  git diff | {program} -p -                  read the question from standard input
  {program} --cli                            chat in the terminal
"""
MODES = ("prompt", "cli", "info", "verify", "licenses", "version", "assimilate")
EXTRACT_OPTION = "--extract-pdf"
"""Not for people: the program starts itself with it to read a PDF, see runtime/attachments/pdf.py."""
CHILD_OPTION = "--internal-device-task"
"""Nor this: it starts itself so to ask a driver, see runtime/devices/child.py."""
UNEXPECTED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; every failure is one sentence on standard error."""
    timings = Timings(os.environ.pop(STARTED_VARIABLE, ""))
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == [CHILD_OPTION]:
        from runtime.devices.tasks import run_task

        return run_task(arguments[1])
    if arguments == [EXTRACT_OPTION]:
        from runtime.attachments import pdf_text

        return pdf_text.main()
    log = log_path(os.environ)
    if log is not None:
        print_to_log(log)
    print_utf8()
    message, code = _run_command(arguments, timings)
    if message:
        tell(message)
        if log is not None:
            _show_dialog(f"{message}\n\nThe log is {log}")
    return code


def _run_command(arguments: list[str], timings: Timings) -> tuple[str, int]:
    """Run the command; return what went wrong, in words, and the exit code."""
    verbose = "--verbose" in arguments
    command = build_command(_program_name())
    try:
        result = command.main(arguments, prog_name=_program_name(), standalone_mode=False, obj=timings)
    except click.exceptions.Exit as error:
        return "", error.exit_code
    except click.ClickException as error:
        return usage_message(error), error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return "", EXIT_INTERRUPTED
    except PackerError as error:
        if verbose:
            _LOG.exception("traceback")
        return f"error: {error}", error.exit_code
    except OSError as error:
        if not is_full(error):
            return _unexpected(error, verbose)
        leave_output()
        return full_message(error), OutputError.exit_code
    except Exception as error:  # the outermost boundary
        return _unexpected(error, verbose)
    return "", int(result or 0)


def _unexpected(error: Exception, verbose: bool) -> tuple[str, int]:
    if verbose:
        _LOG.error("traceback", exc_info=error)
    return f"error: unexpected failure ({type(error).__name__}: {error}); --verbose shows where", UNEXPECTED


def _show_dialog(text: str) -> None:
    if sys.platform == "win32":
        from runtime.windows.console import show_error

        show_error(_program_name(), text)


def _program_name() -> str:
    from runtime.bundle import bundle_path

    path = bundle_path(os.environ)
    return path.name if path else "python -m runtime"


def build_command(program: str) -> click.Command:
    """Make the click command, its help naming ``program``."""
    return click.Command(
        "runtime",
        params=make_options(),
        callback=run,
        help=HELP.format(program=program),
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(**options: Any) -> int:
    """Run what the options ask for; return the exit code. A reader of the output that has gone is no failure."""
    try:
        return _run_mode(options)
    except BrokenPipeError:
        leave_output()
        return EXIT_BROKEN_PIPE


def _run_mode(options: dict[str, Any]) -> int:
    logging.basicConfig(
        level=logging.DEBUG if options["verbose"] else logging.WARNING,
        format="%(relativeCreated)6.0f ms %(name)s: %(message)s",
    )
    _check_combination(options)
    if options["verify"]:
        return _verify()
    if options["assimilate"] is not None:
        return _assimilate(options["assimilate"])
    if options["quantize"] or options["prompt_states"]:
        from runtime.packer_tasks import make_prompt_states, quantize_for_packer

        return quantize_for_packer(options) if options["quantize"] else make_prompt_states(options["prompt_states"])
    contents = _open_contents()
    if options["version"]:
        from runtime.describe import version_line

        click.echo(version_line(contents))
        return 0
    if options["licenses"] or (options["info"] and options["model"] is None):
        return _describe(contents, options)
    return _run_model(contents, options)


def _check_combination(options: dict[str, Any]) -> None:
    """Refuse options that mean nothing together. Raises UsageError."""
    modes = [name for name in MODES if options[name] not in {None, False}]
    if len(modes) > 1:
        raise click.UsageError(f"--{modes[0]} and --{modes[1]} can't be used together")
    for name, needed in (("raw", "prompt"), ("token_ids", "prompt"), ("json", "info")):
        if name == "json" and options["timings"]:
            continue
        if options[name] and options[needed] in {None, False}:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --{needed}")


def _open_contents() -> Contents | None:
    from runtime.bundle import bundle_path, open_contents

    path = bundle_path(os.environ)
    return open_contents(path) if path else None


def _verify() -> int:
    """Check the file without reading its configuration first, so that every damaged entry is found."""
    from runtime import describe
    from runtime.bundle import bundle_path, require_path

    describe.verify(require_path(bundle_path(os.environ), "--verify"))
    return 0


def _assimilate(output: Path) -> int:
    from packer.container.assimilate import assimilate
    from runtime.bundle import bundle_path, require_path
    from runtime.report import say

    target = "windows-x86_64" if sys.platform == "win32" else "linux-x86_64"
    assimilate(require_path(bundle_path(os.environ), "--assimilate"), output, target)
    say(f"{output}: a plain program for {target}")
    return 0


def _describe(contents: Contents | None, options: dict[str, Any]) -> int:
    from runtime import describe
    from runtime.bundle import require_path

    path = require_path(contents.path if contents else None, "--licenses" if options["licenses"] else "--info")
    if options["licenses"]:
        describe.show_licenses(path)
    elif contents is not None:
        describe.show_info(contents, _device(contents, options), as_json=options["json"])
    return 0


def _device(contents: Contents, options: dict[str, Any]) -> DeviceReport | None:
    """Say what would compute if the packed model were loaded now."""
    from runtime.llama.library import load_library
    from runtime.loading import demand_of
    from runtime.session import placing_for

    if contents.model is None:
        return None
    settings = _settings(contents, options)
    placing = placing_for(settings, contents.model, environ=os.environ)
    known = placing.without_device()
    if known is not None:
        return known
    library = load_library()
    try:
        demand = demand_of(
            settings.context_size,
            settings.kv_type,
            shift=settings.context_shift,
            projector=contents.model.projector,
        )
        return placing.preview(library, contents.model.file, demand)
    finally:
        library.silence()


def _run_model(contents: Contents | None, options: dict[str, Any]) -> int:
    from runtime.describe import DEVELOPMENT, show_model_info
    from runtime.llama.library import load_library

    restart = take_restart(os.environ)
    timings: Timings = click.get_current_context().obj or Timings()
    timings.wanted, timings.as_json = options["timings"], options["json"]
    with timings.part("settings"):
        settings = _settings(contents, options)
    is_server = options["prompt"] is None and not options["cli"] and not options["info"]
    instance = _claim(contents) if is_server else None
    is_plain = options["browser"] is not False and _is_plain(options)
    if instance is not None and is_plain and _show_running(instance, settings):
        return 0
    with timings.part("libraries"):
        library = load_library()
    source = _source(contents, options["model"], library).with_adapters(_adapters(options["lora"]))
    source = source.with_projector(options["mmproj"])
    version = contents.manifest.packer_version if contents else DEVELOPMENT
    if options["info"]:
        show_model_info(source, as_json=options["json"])
        return 0
    if is_server:
        from runtime.lifecycle import serve

        return serve(
            library,
            settings,
            source,
            version=version,
            environ=os.environ,
            data_directory=options["data_dir"],
            instance=instance,
            timings=timings,
            restart=restart,
        )
    from runtime.session import open_session

    session = open_session(
        library,
        settings,
        source,
        version=version,
        environ=os.environ,
        timings=timings,
        trouble=restart.trouble if restart else "",
    )
    return _run_terminal(session, options)


def _claim(contents: Contents | None) -> Instance | None:
    from runtime.instance import claim

    return claim(contents.path if contents else None, os.environ)


def _is_plain(options: dict[str, Any]) -> bool:
    """Whether the program was started as by a double click: nothing that asks for a server of its own."""
    given = click.get_current_context().get_parameter_source
    return not any(given(name) is ParameterSource.COMMANDLINE for name in options if name not in {"verbose", "browser"})


def _show_running(instance: Instance, settings: Settings) -> bool:
    """Open the page of the server that runs already; ``False`` when there is none."""
    from runtime.lifecycle import open_browser
    from runtime.report import say

    address = instance.running_address()
    if address is None:
        return False
    say(f"Already running at {address}; opening its page.")
    open_browser(address, settings, os.environ)
    return True


def _run_terminal(session: Session, options: dict[str, Any]) -> int:
    from runtime import terminal

    try:
        if options["cli"]:
            terminal.chat(session)
        else:
            prompt = _read_prompt(options["prompt"], raw=options["raw"])
            # What came on standard input is gone.
            session.recovery.may_restart = options["prompt"] != "-"
            terminal.answer_once(session, prompt, raw=options["raw"], token_ids=options["token_ids"])
        session.recovery.ending()
    finally:
        session.close()
    return 0


def _settings(contents: Contents | None, options: dict[str, Any]) -> Settings:
    from runtime.bundle import default_config
    from runtime.settings import OPTION_KEYS, LockedSettingError, Overrides, merge_settings

    overrides = Overrides(**{name: options[name] for name in OPTION_KEYS})
    try:
        return merge_settings(contents.config if contents else default_config(), overrides)
    except LockedSettingError as error:
        raise click.UsageError(str(error)) from error


def _source(contents: Contents | None, path: Path | None, library: Library) -> ModelSource:
    """Return the model to run: the one given with ``--model``, else the packed one."""
    from runtime.bundle import bare_model

    if path is not None:
        return bare_model(path, library)
    if contents is not None and contents.manifest.weights is not None:
        from runtime.weights import external_model

        found = external_model(contents, os.environ)
        if found is not None:
            return found
    if contents is None:
        raise InputError("no model: this program was not started from a packed file; give one with --model PATH")
    if contents.model is None:
        raise InputError(f"{contents.path}: was packed without a model; give one with --model PATH")
    return contents.model


def _adapters(texts: Sequence[str]) -> list[tuple[Path, float]]:
    from packer.container.config import parse_scaled_path

    return [parse_scaled_path(text, "--lora") for text in texts]


def _read_prompt(text: str, *, raw: bool) -> str:
    """Return the question, of standard input for ``-``. Raises InputError for none; blanks are one when ``raw``."""
    if text == "-":
        # A program that is started without standard input has none at all.
        text = sys.stdin.buffer.read().decode("utf-8", "replace") if sys.stdin else ""
        where = "on standard input"
    else:
        where = "behind -p"
    if not (text if raw else text.strip()):
        raise InputError(f"-p: there is no question {where}; give one, such as -p 'Why is the sky blue?'")
    return text
