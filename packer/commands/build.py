"""``packer build``: one model in, one file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packer.commands.console import byte_progress, echo_json, size_in_words, step_progress

if TYPE_CHECKING:
    from packer.container.config import BundleConfig
    from packer.runtimes.store import StoredRuntime

DEMO = "demo"
EXAMPLE = """
Examples:

\b
  packer build qwen2.5-0.5b-instruct-q4_k_m.gguf -o chat
  packer build model.gguf -o chat --system-prompt "Answer in one sentence."
  packer build model-00001-of-00003.gguf -c chat.toml -o chat
  packer build model.gguf --lora style.gguf:0.8 -o chat
"""


@click.command(epilog=EXAMPLE)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write. [default: the model's name]")
@click.option("-c", "--config", "config_path", type=click.Path(path_type=Path), help="TOML file with settings.")
@click.option("--lora", "loras", multiple=True, metavar="PATH[:SCALE]", help="LoRA adapter to apply; repeatable.")
@click.option("--title", help="Name shown in the page and in --info.")
@click.option("--system-prompt", help="Instructions put before every chat.")
@click.option("--ctx-size", type=int, help="Context in tokens; 0 means all that the model was trained for.")
@click.option("--temperature", type=float, help="Default sampling temperature.")
@click.option("--port", type=int, help="Preferred port on 127.0.0.1.")
@click.option("--browser/--no-browser", default=None, help="Open the browser when ready.")
@click.option("--target", default="linux-x86_64", show_default=True, help="System that the file runs on.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def build(
    model: Path,
    output: Path | None,
    config_path: Path | None,
    loras: tuple[str, ...],
    target: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Pack MODEL (a GGUF file, or one shard of several) into one executable file.

    MODEL may be the word "demo": the small model that comes with packer.
    """
    from packer.bundling import BundlePlan, plan_adapters, plan_model, write_bundle
    from packer.container.config import parse_scaled_path
    from packer.demo import DEMO_MODEL, DEMO_SETTINGS

    if str(model) == DEMO and not model.exists():
        model, config_path = DEMO_MODEL, config_path or DEMO_SETTINGS
    config = _settings(config_path, flags)
    planned = plan_model(model)
    adapters = plan_adapters([parse_scaled_path(text, "--lora") for text in loras], model)
    runtime = runtime_for(target)
    chosen = output or Path(planned.entry).with_suffix("").name
    plan = BundlePlan(output=Path(chosen).absolute(), config=config, runtime=runtime, model=planned, adapters=adapters)
    with byte_progress(f"writing {plan.output.name}", plan.size_bytes) as progress:
        write_bundle(plan, progress)
    model_bytes = planned.source.size_bytes + sum(adapter.source.size_bytes for adapter in adapters)
    _report(plan.output, model_bytes, as_json=as_json)


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


def _report(output: Path, model_bytes: int, *, as_json: bool) -> None:
    size = output.stat().st_size
    if as_json:
        echo_json({"path": str(output), "size_bytes": size, "model_bytes": model_bytes})
        return
    click.echo(f"{output}  {size_in_words(size)}, of which {size_in_words(size - model_bytes)} is not the model")
    click.echo(f"Start it with: {output if ' ' not in str(output) else repr(str(output))}")
