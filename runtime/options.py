"""The options of a packed file's command line."""

from __future__ import annotations

from pathlib import Path

import click

LOOPBACK = frozenset({"127.0.0.1", "localhost"})


def make_options() -> list[click.Parameter]:
    """Make all options: what to do, with what, and how."""
    port = click.IntRange(0, 65535)
    return [
        click.Option(["-p", "--prompt"], metavar="TEXT", help="Answer TEXT once and exit; '-' reads standard input."),
        click.Option(["--cli"], is_flag=True, help="Chat in the terminal."),
        click.Option(["--info"], is_flag=True, help="Describe this file and exit."),
        click.Option(["--json"], is_flag=True, help="With --info or --timings: print JSON."),
        click.Option(["--verify"], is_flag=True, help="Check every byte of this file and exit."),
        click.Option(["--licenses"], is_flag=True, help="Print the licences of everything inside and exit."),
        click.Option(
            ["--assimilate"],
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Write a copy to FILE that is a plain program for this system, and exit.",
        ),
        click.Option(["--version"], is_flag=True, help="Print versions and exit."),
        click.Option(
            ["--model"], metavar="PATH", type=click.Path(path_type=Path), help="Use this GGUF, not the packed one."
        ),
        click.Option(
            ["--lora"], multiple=True, metavar="PATH[:SCALE]", help="Apply this LoRA adapter too; repeatable."
        ),
        click.Option(
            ["--mmproj"], metavar="PATH", type=click.Path(path_type=Path), help="See pictures with this projector."
        ),
        click.Option(["--port"], type=port, help="Port of the web server; must be free. 0: any free one."),
        click.Option(["--host"], hidden=True, callback=_check_host, expose_value=False),
        click.Option(["--browser/--no-browser"], default=None, help="Open the page in the browser, or don't."),
        *_computing_options(),
        click.Option(["--temperature"], type=click.FloatRange(0, 100), help="Randomness. 0: always the likeliest."),
        click.Option(["--seed"], type=int, help="Seed of the random numbers, for repeatable replies."),
        click.Option(["--max-tokens"], type=click.IntRange(1), help="Longest reply in tokens."),
        click.Option(["--system-prompt"], metavar="TEXT", help="Instructions that come before every chat."),
        click.Option(["--raw"], is_flag=True, help="With -p: continue TEXT itself, without a chat template."),
        click.Option(["--token-ids"], is_flag=True, help="With -p: print the generated token ids as a JSON list."),
        click.Option(["--history/--no-history"], default=None, help="Keep chats on this machine, or keep nothing."),
        click.Option(
            ["--data-dir"],
            metavar="DIR",
            type=click.Path(path_type=Path),
            help="Keep chats below DIR, not in the user's data directory.",
        ),
        click.Option(["--quantize"], nargs=3, type=click.Path(path_type=Path), hidden=True),
        click.Option(["--imatrix"], type=click.Path(path_type=Path), hidden=True),
        click.Option(["--requantize"], is_flag=True, hidden=True),
        click.Option(["--prompt-states"], type=click.Path(path_type=Path), hidden=True),
        click.Option(["--timings"], is_flag=True, help="Print where the time of the start went, on standard error."),
        click.Option(["--verbose"], is_flag=True, help="Say what is done, on standard error; show tracebacks."),
    ]


def _computing_options() -> list[click.Parameter]:
    """What computes, and with how much memory."""
    from runtime.llama.kv_types import KV_TYPES

    return [
        click.Option(["--threads"], type=click.IntRange(0, 4096), help="Threads to compute with. 0: automatic."),
        click.Option(
            ["--repack"],
            type=click.Choice(["auto", "on", "off"]),
            help="Copy the weights into memory in this processor's order, which is faster. auto: if memory is plenty.",
        ),
        click.Option(
            ["--gpu"], metavar="NAME", help="auto, off, a packed backend (vulkan or cuda), or part of a device's name."
        ),
        click.Option(
            ["--gpu-layers"], type=click.IntRange(0), help="Layers of the model on the GPU. Default: what fits."
        ),
        click.Option(["--ctx-size"], type=click.IntRange(0), help="Context in tokens. 0: the model's limit."),
        click.Option(["--kv-type"], type=click.Choice([*KV_TYPES]), help="Number format of the KV cache."),
        click.Option(
            ["--context-shift/--no-context-shift"],
            default=None,
            help="Drop the oldest part of a chat that is too long.",
        ),
    ]


def _check_host(_context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Take the address that other servers are often told, and say about any other why it can't be."""
    if value is not None and value not in LOOPBACK:
        raise click.BadParameter(
            f"'{value}': this program answers on 127.0.0.1 alone, so that no other computer reaches it; "
            "where one should, make a tunnel, as with: ssh -L 8080:localhost:8080 THIS_COMPUTER",
            param=parameter,
        )
