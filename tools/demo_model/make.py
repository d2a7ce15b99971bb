"""Makes the demonstration model from nothing: corpus, tokenizer, training, export.

Run ``python -m tools.demo_model.make`` in the root of the checkout.

``--work`` keeps the tokenizer, checkpoints and the loss curve; ``--export-only`` turns the last checkpoint into a GGUF.
"""

from __future__ import annotations

import argparse
import logging
import random
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tools.demo_model.corpus import load_corpus
from tools.demo_model.export import export_gguf
from tools.demo_model.model import Llama, ModelShape
from tools.demo_model.tokenizer import encode_dialogue, load_tokenizer, train_tokenizer, without_tail
from tools.demo_model.training import LENGTHS, Report, Schedule, train

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from tools.demo_model.chatml import Message
    from tools.demo_model.training import Sample

HERE = Path(__file__).resolve().parent
HELD_OUT = HERE.parent.parent / "tests" / "demo_model" / "held_out.toml"
VOCAB_SIZE = 3072
NUM_LAYERS = 4
SEED = 1
SHARE_WITHOUT_TAIL = 0.75

log = logging.getLogger("demo_model")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="directory for checkpoints and the loss curve")
    parser.add_argument("--output", type=Path, default=HERE.parent.parent / "packer" / "demo" / "demo.gguf")
    parser.add_argument("--dialogues", type=int, default=230_000)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end earlier than --steps after this time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=SEED, help="of the corpus and the order of learning")
    parser.add_argument("--start-from", type=Path, help="go on from the tokenizer and weights in this directory")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate; it falls to nothing")
    parser.add_argument("--compile", action="store_true", help="a quarter faster, but needs a C++ compiler")
    parser.add_argument("--export-only", action="store_true")
    return parser.parse_args()


def prepared(dialogues: Sequence[Sequence[Message]], start_from: Path | None, work: Path) -> Tokenizer:
    """Train the tokenizer on ``dialogues``, or take the one in ``start_from``, and keep it in ``work``."""
    if start_from:
        tokenizer = load_tokenizer(start_from / "tokenizer.json")
    else:
        texts = (message.content for dialogue in dialogues[:20_000] for message in dialogue)
        tokenizer = train_tokenizer(texts, VOCAB_SIZE)
    tokenizer.save(str(work / "tokenizer.json"))
    return tokenizer


def encoded(tokenizer: Tokenizer, dialogues: Sequence[Sequence[Message]]) -> list[Sample]:
    """Encode ``dialogues``; most lose the tail of their last reply."""
    chance = random.Random(SEED)
    samples = []
    for dialogue in dialogues:
        sample = encode_dialogue(tokenizer, dialogue)
        if chance.random() < SHARE_WITHOUT_TAIL:
            last = len(tokenizer.encode(dialogue[-1].content, add_special_tokens=False).ids) + 1
            sample = without_tail(sample, last)
        samples.append(sample)
    return samples


def run_training(arguments: argparse.Namespace) -> None:
    """Write the corpus, train, and leave tokenizer, weights and loss curve in the work directory."""
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    dialogues = list(load_corpus(HERE / "corpus_data", HELD_OUT, arguments.seed).dialogues(arguments.dialogues))
    tokenizer = prepared(dialogues, arguments.start_from, work)
    samples = encoded(tokenizer, dialogues)
    log.info("%d dialogues, %d tokens", len(samples), sum(len(tokens) for tokens, _ in samples))
    model = Llama(ModelShape(vocab_size=tokenizer.get_vocab_size(), num_layers=NUM_LAYERS))
    if arguments.start_from:
        model.load_state_dict(torch.load(arguments.start_from / "model.pt"))
    log.info("%d parameters", sum(weight.numel() for weight in model.parameters()))
    if arguments.compile:
        torch._dynamo.config.recompile_limit = 2 * len(LENGTHS)
        model.forward = torch.compile(model.forward, dynamic=False)
    curve = work / "loss.csv"
    curve.write_text("step,elapsed_s,loss\n", encoding="utf-8")

    def keep(report: Report) -> None:
        with curve.open("a", encoding="utf-8") as file:
            file.write(f"{report.step},{report.elapsed_s:.0f},{report.loss:.4f}\n")
        torch.save(model.state_dict(), work / "model.pt")

    schedule = Schedule(
        num_steps=arguments.steps, limit_s=60 * arguments.minutes, peak_rate=arguments.rate, seed=arguments.seed
    )
    train(model, samples, schedule, keep)


def export(work: Path, output: Path) -> None:
    """Turn the weights in ``work`` into the GGUF ``output``."""
    tokenizer = load_tokenizer(work / "tokenizer.json")
    model = Llama(ModelShape(vocab_size=tokenizer.get_vocab_size(), num_layers=NUM_LAYERS))
    model.load_state_dict(torch.load(work / "model.pt"))
    export_gguf(model, tokenizer, output)
    log.info("%s: %d bytes", output, output.stat().st_size)


def main() -> None:
    """Train unless told otherwise, then export."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = parse_arguments()
    torch.manual_seed(SEED)
    torch.set_num_threads(arguments.threads)
    if not arguments.export_only:
        run_training(arguments)
    export(arguments.work, arguments.output)


if __name__ == "__main__":
    main()
