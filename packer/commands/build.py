"""``packer build``: one model in, one file out."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packer.commands.console import byte_progress, echo_json, size_in_words, step_progress
from packer.programs import LINUX, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from packer.bundling import BundlePlan, PlannedModel
    from packer.container.config import BundleConfig
    from packer.prompt_states import PreparedPrompt
    from packer.quantization import Quantization
    from packer.runtimes.store import StoredRuntime

DEMO = "demo"
COSMOPOLITAN = "cosmopolitan"
EXAMPLE = """
Examples:

\b
  packer build qwen2.5-0.5b-instruct-q4_k_m.gguf -o chat
  packer build model-f16.gguf --quantize Q4_K_M -o chat
  packer build model.gguf -o chat --system-prompt "Answer in one sentence."
  packer build model-00001-of-00003.gguf -c chat.toml -o chat
  packer build model.gguf --lora style.gguf:0.8 -o chat
  packer build model.gguf --mmproj mmproj.gguf -o chat
  packer build model.gguf --target portable -o chat.exe
"""


def _parse_size(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """``2GB`` → 2000000000, ``500 MiB`` → 524288000, ``0`` → 0."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if not match:
        raise click.BadParameter(f"{text!r} is no size; write it as 2GB, 500MB or 1.5GiB")
    power = " kmgt".index(match[2].lower() or " ")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


@click.command(short_help="Pack a model into one file.", epilog=EXAMPLE)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write. [default: the model's name]")
@click.option("-c", "--config", "config_path", type=click.Path(path_type=Path), help="TOML file with settings.")
@click.option("--lora", "loras", multiple=True, metavar="PATH[:SCALE]", help="LoRA adapter to apply; repeatable.")
@click.option("--mmproj", type=click.Path(path_type=Path), help="Projector that lets the model see pictures.")
@click.option("--title", help="Name shown in the page and in --info.")
@click.option("--system-prompt", help="Instructions put before every chat.")
@click.option("--ctx-size", type=int, help="Context in tokens; 0 means all that the model was trained for.")
@click.option("--temperature", type=float, help="Default sampling temperature.")
@click.option("--port", type=int, help="Preferred port on 127.0.0.1.")
@click.option("--browser/--no-browser", default=None, help="Open the browser when ready.")
@click.option("--quantize", metavar="TYPE", help="Make the weights smaller first, such as Q4_K_M or Q8_0.")
@click.option("--imatrix", type=click.Path(path_type=Path), help="Importance matrix for --quantize.")
@click.option(
    "--requantize", is_flag=True, help="Allow --quantize of weights that are quantized already; costs quality."
)
@click.option(
    "--prompt-cache",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Read the system prompt now and pack what the model remembers of it, so that no first chat waits for that. "
    "auto: unless it would take more than 10% of the model.",
)
@click.option(
    "--gpu",
    default="auto",
    show_default=True,
    metavar="NAMES",
    help="GPU backends to pack: vulkan (drives all cards), cuda (NVIDIA's; build it first with packer runtimes build "
    "--gpu cuda), both, separated by a comma, or none.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME[,NAME...]",
    help="Systems that the file runs on: linux-x86_64, windows-x86_64, or portable for both. [default: portable for a "
    "name that ends in .exe when both runtimes are there, else this system]",
)
@click.option(
    "--launcher",
    type=click.Choice(["native", "cosmopolitan"]),
    default="native",
    show_default=True,
    help="Program in front: packer's own, or built here with cosmocc.",
)
@click.option("--windowed", is_flag=True, help="On Windows: no console window; log to a file, errors in a dialog.")
@click.option(
    "--split-at",
    metavar="SIZE",
    callback=_parse_size,
    help="Put the model beside the program when the file would be larger, such as 2GB. [Windows: 4GB]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def build(
    model: Path,
    output: Path | None,
    config_path: Path | None,
    quantize: str | None,
    imatrix: Path | None,
    requantize: bool,
    loras: tuple[str, ...],
    prompt_cache: str,
    mmproj: Path | None,
    gpu: str,
    targets: tuple[str, ...],
    launcher: str,
    windowed: bool,
    split_at: int | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Pack MODEL (a GGUF file, or one shard of several) into one executable file.

    MODEL may be the word "demo": the small model that comes with packer.
    """
    from packer.bundling import BundlePlan, plan_adapters, plan_model, plan_projector, write_bundle
    from packer.commands.gpu_option import backends_for, parse_backends
    from packer.quantization import Quantization

    if (imatrix or requantize) and not quantize:
        raise click.UsageError(f"--{'imatrix' if imatrix else 'requantize'} needs --quantize TYPE")
    wanted_backends = parse_backends(gpu)
    model, config_path = _model_and_settings(model, config_path)
    config = _settings(config_path, flags)
    planned = plan_model(model)
    scaled = _scaled_adapters(loras)
    adapters = plan_adapters(scaled, model)
    projector = plan_projector(mmproj, model) if mmproj is not None else None
    chosen = _output(output, planned, targets)
    runtimes = tuple(runtime_for(target) for target in _targets(targets, chosen))
    with contextlib.ExitStack() as stack:
        if quantize:
            wanted = Quantization(type_name=quantize, importance=imatrix, again=requantize)
            model, planned = stack.enter_context(_quantized(planned, model, chosen, wanted))
        prompts = stack.enter_context(_prompts(planned, model, chosen, scaled, config, prompt_cache))
        backends = backends_for(wanted_backends, [one.target for one in runtimes], planned.source.size_bytes)
        plan = BundlePlan(
            output=chosen,
            config=config,
            runtimes=runtimes,
            model=planned,
            adapters=adapters,
            projector=projector,
            backends=backends,
            prompts=prompts,
            windowed=windowed,
            split_at_bytes=split_at,
        )
        if launcher == COSMOPOLITAN:
            plan = replace(plan, program=_cosmopolitan_program(plan.targets))
        with byte_progress(f"writing {plan.output.name}", plan.size_bytes) as progress:
            write_bundle(plan, progress)
    _report(plan, as_json=as_json)


def _scaled_adapters(loras: tuple[str, ...]) -> list[tuple[Path, float]]:
    from packer.container.config import parse_scaled_path

    return [parse_scaled_path(text, "--lora") for text in loras]


def _model_and_settings(model: Path, config_path: Path | None) -> tuple[Path, Path | None]:
    """Return what is to be packed: the files named, or those of the demonstration."""
    from packer.demo import DEMO_MODEL, DEMO_SETTINGS

    if str(model) == DEMO and not model.exists():
        return DEMO_MODEL, config_path or DEMO_SETTINGS
    return model, config_path


@contextlib.contextmanager
def _quantized(
    planned: PlannedModel, model: Path, output: Path, wanted: Quantization
) -> Iterator[tuple[Path, PlannedModel]]:
    """Yield path and plan of the same model with smaller weights, in a file that is gone afterwards."""
    from packer.bundling import check_output, plan_model
    from packer.commands.run import model_less_bundle
    from packer.quantization import quantized

    check_output(output, [segment.path for segment in planned.source.segments])
    with contextlib.ExitStack() as stack:
        with step_progress(f"quantizing to {wanted.type_name}") as note:
            path = stack.enter_context(quantized(model_less_bundle(), model, output, wanted, note))
        yield path, plan_model(path)


@contextlib.contextmanager
def _prompts(
    planned: PlannedModel,
    model: Path,
    output: Path,
    adapters: Sequence[tuple[Path, float]],
    config: BundleConfig,
    mode: str,
) -> Iterator[tuple[PreparedPrompt, ...]]:
    """Yield the prompts that were read beforehand, and say what became of each."""
    from packer.commands.run import model_less_bundle
    from packer.prompt_states import PromptOrder, in_words, prepared_prompts

    order = PromptOrder(model=model, model_bytes=planned.source.size_bytes, adapters=adapters, config=config, mode=mode)
    if not order.prompts or planned.info.use != "chat":
        yield ()
        return
    with contextlib.ExitStack() as stack:
        with step_progress("reading the prompt") as note:
            prompts = stack.enter_context(prepared_prompts(model_less_bundle(), order, output, note))
        for prompt in prompts:
            click.echo(in_words(prompt, order, size_in_words), err=True)
        yield prompts


def _settings(config_path: Path | None, flags: dict[str, Any]) -> BundleConfig:
    from packer.container.config import load_config, parse_config, with_overrides

    config = load_config(config_path) if config_path else parse_config("", "defaults")
    keys = {
        "title": "title",
        "system_prompt": "chat.system_prompt",
        "ctx_size": "context.size",
        "temperature": "sampling.temperature",
        "port": "server.port",
        "browser": "server.browser",
    }
    given = {keys[name]: value for name, value in flags.items() if value is not None}
    return with_overrides(config, given, source="command line")


def runtime_for(target: str) -> StoredRuntime:
    """Return the runtime of ``target``; say so and build it when it is missing."""
    from packer.runtimes.store import default_store

    store = default_store()
    found = store.find(target)
    if found is not None:
        return found
    click.echo(f"The runtime for {target} is not built yet; building it (some minutes, once).", err=True)
    with step_progress(f"runtime {target}") as note:
        return store.build(target, note)


def _output(output: Path | None, planned: PlannedModel, targets: tuple[str, ...]) -> Path:
    """The file to write: as asked for, else the model's name, with the ending that Windows wants.

    Raises OutputError where it can't be written, before anything is built for it.
    """
    from packer.bundling import check_output
    from packer.programs import WINDOWS_SUFFIX, parse_targets
    from packer.runtimes.recipe import TARGETS

    if output is None:
        ending = WINDOWS_SUFFIX if WINDOWS in parse_targets(targets, TARGETS) else ""
        output = Path(f"{Path(planned.entry).name.removesuffix('.gguf')}{ending}")
    chosen = output.absolute()
    check_output(chosen, [segment.path for segment in planned.source.segments])
    return chosen


def _cosmopolitan_program(targets: tuple[str, ...]) -> Callable[[Mapping[str, bytes]], bytes]:
    """Build the launcher with cosmocc; return what puts it in front. Raises InputError where it can't be used."""
    from packer.errors import InputError
    from packer.toolchain.build_cache import default_build_cache
    from packer.toolchain.cosmopolitan import build_cosmopolitan, find_cosmocc
    from packer.toolchain.environment import build_environment, fetch_sources

    if targets != (LINUX,):
        raise InputError(
            f"--launcher cosmopolitan packs for {LINUX} alone so far; for Windows leave it away: "
            "packer's own launcher makes a portable file"
        )
    compiler = find_cosmocc()
    with step_progress("cosmopolitan launcher") as note:
        cache = default_build_cache()
        sources = fetch_sources(cache, build_environment(cache, note), note)
        note("compiling with cosmocc")
        program = build_cosmopolitan(compiler, sources.zstd)
    return lambda _launchers: program


def _targets(given: tuple[str, ...], output: Path) -> tuple[str, ...]:
    """The systems to pack for: those asked for, else all that are at hand for an ``.exe``, else this one."""
    from packer.programs import PORTABLE_TARGETS, WINDOWS_SUFFIX, parse_targets
    from packer.runtimes.recipe import TARGETS
    from packer.runtimes.store import default_store

    if given:
        targets = parse_targets(given, TARGETS)
        if WINDOWS in targets and output.suffix.lower() != WINDOWS_SUFFIX:
            click.echo(f"Note: Windows starts {output.name} only once its name ends in .exe", err=True)
        return targets
    if output.suffix.lower() != WINDOWS_SUFFIX:
        return (LINUX,)
    if default_store().find(WINDOWS) is not None:
        return PORTABLE_TARGETS
    click.echo(
        f"Note: {output.name} will run on Linux only. For one that Windows runs as well, run once: "
        f"packer runtimes build {WINDOWS}",
        err=True,
    )
    return (LINUX,)


def _report(plan: BundlePlan, *, as_json: bool) -> None:
    from packer.commands.gpu_option import cost_in_words

    size = plan.output.stat().st_size
    model_bytes = plan.model.source.size_bytes if plan.model else 0
    model_bytes += plan.projector.source.size_bytes if plan.projector else 0
    model_bytes += sum(adapter.source.size_bytes for adapter in plan.adapters)
    weights = plan.weights_path
    if as_json:
        result = {"path": str(plan.output), "size_bytes": size, "model_bytes": model_bytes, "targets": plan.targets}
        prompts = [
            {
                "name": one.name,
                "num_tokens": one.num_tokens,
                "size_bytes": one.size_bytes,
                "packed": one.path is not None,
            }
            for one in plan.prompts
        ]
        echo_json({**result, "weights": str(weights) if weights else None, "prompts": prompts})
        return
    if weights is None:
        extra = f", of which {size_in_words(size - model_bytes)} is not the model ({cost_in_words(plan.backends)})"
        click.echo(f"{plan.output}  {size_in_words(size)}{extra}")
    else:
        why = "Windows starts no program over 4 GB" if plan.is_too_large_for_windows else "as --split-at asks for"
        click.echo(f"{plan.output}  {size_in_words(size)}, the program")
        click.echo(f"{weights}  {size_in_words(model_bytes)}, the model in a file of its own: {why}")
        click.echo(f"Keep {weights.name} beside {plan.output.name}; both are needed.")
    if len(plan.targets) > 1:
        click.echo(f"Runs on {' and '.join(plan.targets)}. Where a system insists on a native file: packer assimilate")
    if LINUX in plan.targets:
        shown = str(plan.output) if " " not in str(plan.output) else repr(str(plan.output))
        click.echo(f"Start it with: {shown}")
