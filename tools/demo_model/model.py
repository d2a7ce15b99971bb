"""A small Llama in PyTorch: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embeddings.

Rotary positions turn neighbouring pairs (2i, 2i+1) of a head, the layout llama.cpp uses for ``llama``, so the weights
are exported as they are. Source: Touvron et al. 2023 (arXiv:2302.13971); Su et al. 2021 (arXiv:2104.09864).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of the model; ``context_length`` in tokens."""

    vocab_size: int
    width: int = 256
    num_layers: int = 6
    num_heads: int = 8
    num_kv_heads: int = 4
    feed_forward: int = 704
    context_length: int = 2048
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Values in one attention head."""
        return self.width // self.num_heads


def rotary_table(shape: ModelShape) -> Tensor:
    """Cosines and sines of all positions: ``(2, context_length, head_width / 2)``."""
    steps = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.arange(shape.context_length, dtype=torch.float32)[:, None] * shape.rope_base**-steps
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn the neighbouring pairs of ``x``, ``(batch, heads, time, head_width)``, by their position's angles."""
    cosine, sine = table
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(x.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention of ``query``, ``(batch, heads, time, head_width)``, whose heads share fewer keys and values.

    Written out because PyTorch's fused attention took a third of a step on the CPU at these lengths.
    """
    batch, heads, time, head_width = query.shape
    kv_heads = key.shape[1]
    groups = heads // kv_heads
    rows = query.reshape(batch * kv_heads, groups * time, head_width)
    scores = torch.bmm(rows, key.reshape(batch * kv_heads, time, head_width).transpose(1, 2)) * head_width**-0.5
    later = torch.full((time, time), float("-inf"), dtype=scores.dtype).triu(1).repeat(groups, 1)
    shares = torch.softmax(scores + later, dim=-1, dtype=torch.float32).to(value.dtype)
    return torch.bmm(shares, value.reshape(batch * kv_heads, time, head_width)).view(batch, heads, time, head_width)


class Attention(nn.Module):
    """Causal self-attention with fewer key and value heads than query heads."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.num_kv_heads * shape.head_width
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, kv_width, bias=False)
        self.value = nn.Linear(shape.width, kv_width, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """Attend within each row of ``x``, ``(batch, time, width)``."""
        batch, time, width = x.shape
        query, key, value = (
            part(x).view(batch, time, -1, self.shape.head_width).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = attend(rotate(query, table), rotate(key, table), value)
        return self.output(mixed.transpose(1, 2).reshape(batch, time, width))


class Block(nn.Module):
    """One layer: attention, then a gated feed-forward part, each added to what came in."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attention = Attention(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """Return ``x`` after this layer, ``(batch, time, width)``."""
        x = x + self.attention(self.attention_norm(x), table)
        inner = self.feed_forward_norm(x)
        return x + self.down(functional.silu(self.gate(inner)) * self.up(inner))


class Llama(nn.Module):
    """Tokens in, hidden states out; the embedding is also the output matrix."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.register_buffer("table", rotary_table(shape), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        depth_scale = (2 * self.shape.num_layers) ** -0.5
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                last = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 * (depth_scale if last else 1.0))

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states ``(batch, time, width)`` for ``tokens`` ``(batch, time)``."""
        x = self.embedding(tokens)
        table = self.table[:, : tokens.shape[1]]
        for block in self.blocks:
            x = block(x, table)
        return self.norm(x)

    def loss(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Weighted mean cross-entropy in nats of the tokens with a weight; both ``(batch, time)``.

        Their number is padded to a multiple of 256, which spares the CPU compiling a kernel for every number.
        """
        hidden = self(tokens[:, :-1])
        places = weights[:, 1:].flatten().nonzero().squeeze(1)
        extra = -len(places) % 256
        wanted = functional.pad(tokens[:, 1:].flatten()[places], (0, extra))
        counts = functional.pad(weights[:, 1:].flatten()[places], (0, extra))
        chosen = functional.pad(hidden.flatten(0, 1)[places], (0, 0, 0, extra))
        scores = functional.linear(chosen, self.embedding.weight)
        losses = functional.cross_entropy(scores.float(), wanted, reduction="none")
        return (losses * counts).sum() / counts.sum()
