"""``packer build``: one model in, one file out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packer.commands.console import byte_progress, echo_json, size_in_words, step_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packer.bundling import PlannedModel
    from packer.container.config import BundleConfig
    from packer.quantization import Quantization
    from packer.runtimes.store import StoredRuntime

DEMO = "demo"
EXAMPLE = """
Examples:

\b
  packer build qwen2.5-0.5b-instruct-q4_k_m.gguf -o chat
  packer build model-f16.gguf --quantize Q4_K_M -o chat
  packer build model.gguf -o chat --system-prompt "Answer in one sentence."
  packer build model-00001-of-00003.gguf -c chat.toml -o chat
"""


@click.command(epilog=EXAMPLE)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write. [default: the model's name]")
@click.option("-c", "--config", "config_path", type=click.Path(path_type=Path), help="TOML file with settings.")
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
    "--gpu", default="auto", show_default=True, metavar="NAMES", help="GPU backends to pack: vulkan, or none."
)
@click.option("--target", default="linux-x86_64", show_default=True, help="System that the file runs on.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def build(
    model: Path,
    output: Path | None,
    config_path: Path | None,
    quantize: str | None,
    imatrix: Path | None,
    requantize: bool,
    gpu: str,
    target: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Pack MODEL (a GGUF file, or one shard of several) into one executable file.

    MODEL may be the word "demo": the small model that comes with packer.
    """
    from packer.bundling import BundlePlan, plan_model, write_bundle
    from packer.commands.gpu_option import backends_for, cost_in_words, parse_backends
    from packer.demo import DEMO_MODEL, DEMO_SETTINGS
    from packer.quantization import Quantization

    if (imatrix or requantize) and not quantize:
        raise click.UsageError(f"--{'imatrix' if imatrix else 'requantize'} needs --quantize TYPE")
    wanted_backends = parse_backends(gpu)
    if str(model) == DEMO and not model.exists():
        model, config_path = DEMO_MODEL, config_path or DEMO_SETTINGS
    config = _settings(config_path, flags)
    planned = plan_model(model)
    runtime = runtime_for(target)
    chosen = Path(output or Path(planned.entry).with_suffix("").name).absolute()
    with contextlib.ExitStack() as stack:
        if quantize:
            wanted = Quantization(type_name=quantize, importance=imatrix, again=requantize)
            planned = stack.enter_context(_quantized(planned, model, chosen, wanted))
        backends = backends_for(wanted_backends, target, planned.source.size_bytes)
        plan = BundlePlan(output=chosen, config=config, runtime=runtime, model=planned, backends=backends)
        with byte_progress(f"writing {plan.output.name}", plan.size_bytes) as progress:
            write_bundle(plan, progress)
    _report(plan.output, planned.source.size_bytes, cost_in_words(backends), as_json=as_json)


@contextlib.contextmanager
def _quantized(planned: PlannedModel, model: Path, output: Path, wanted: Quantization) -> Iterator[PlannedModel]:
    """Yield the plan of the same model with smaller weights, in a file that is gone afterwards."""
    from packer.bundling import check_output, plan_model
    from packer.commands.run import model_less_bundle
    from packer.quantization import quantized

    check_output(output, [segment.path for segment in planned.source.segments])
    with contextlib.ExitStack() as stack:
        with step_progress(f"quantizing to {wanted.type_name}") as note:
            path = stack.enter_context(quantized(model_less_bundle(), model, output, wanted, note))
        yield plan_model(path)


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


def _report(output: Path, model_bytes: int, gpu: str, *, as_json: bool) -> None:
    size = output.stat().st_size
    if as_json:
        echo_json({"path": str(output), "size_bytes": size, "model_bytes": model_bytes})
        return
    click.echo(
        f"{output}  {size_in_words(size)}, of which {size_in_words(size - model_bytes)} is not the model ({gpu})"
    )
    click.echo(f"Start it with: {output if ' ' not in str(output) else repr(str(output))}")
