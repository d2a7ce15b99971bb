"""Does the steps: lets sequences in, begins them, runs what the scheduler plans, and deals with what comes of it.

One step is schedule → run → postprocess. The policy is the scheduler's, the books are the KV cache's, the device is the
runner's; here the three meet. It belongs to the engine's thread and knows neither queue nor lock.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from packer.errors import MachineError, PackerError
from runtime.engine.cache_space import CacheSpace
from runtime.engine.context_shift import num_to_drop
from runtime.engine.endings import discard, finished
from runtime.engine.errors import GenerationFailedError
from runtime.engine.kv_cache import common_prefix_length
from runtime.engine.logprobs import TokenLogprobs
from runtime.engine.model_runner import Chunk
from runtime.engine.scheduler import Part, choose_to_preempt, is_admissible, plan_step, tokens_to_reserve
from runtime.engine.sequence import Failed, Finished, TextDelta
from runtime.engine.step_costs import StepCosts
from runtime.llama.errors import DecodeError, DecodeInterruptedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.engine.kv_cache import KvCache
    from runtime.engine.model_runner import ModelRunner, Sampled
    from runtime.engine.saved_prompts import SavedMatch
    from runtime.engine.sequence import FinishReason, Sequence

_LOG = logging.getLogger(__name__)

WORTH_WAITING_TOKENS = 16
SMALLEST_RETRY_TOKENS = 32

Outcome = list[tuple["Part", "Sampled"]]


class Worker:
    """Works on up to ``num_slots`` sequences together. ``in_flight`` are those of the batch that runs right now.

    ``num_prompt_tokens_run`` counts the tokens of prompts that the model has read, those that had to be read again too.
    """

    def __init__(
        self, runner: ModelRunner, *, clock: Callable[[], float], is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Begin idle. ``clock`` gives seconds; ``is_stopping`` is asked before each batch."""
        self.space = CacheSpace(runner, clock=clock, on_lost=self._start_over)
        self.costs = StepCosts()
        self.running: list[Sequence] = []
        self.in_flight: tuple[Sequence, ...] = ()
        self._runner = runner
        self._clock = clock
        self._is_stopping = is_stopping
        self.num_prompt_tokens_run = 0
        self.has_answered = False
        self._preempted: list[Sequence] = []
        self._num_steps = 0

    @property
    def cache(self) -> KvCache:
        """The books of the KV cache."""
        return self.space.cache

    # --- joining and leaving -----------------------------------------------------------------------------------

    def can_admit(self, sequence: Sequence) -> bool:
        """Tell whether there is a slot, and room for its prompt and reply beside what is running."""
        if len(self.running) >= self._runner.num_slots:
            return False
        limit = self._runner.context_tokens
        reserved = tokens_to_reserve(sequence, limit, self._runner.num_slots)
        match = self.cache.best_match(sequence.tokens, sequence.adapters)
        shared = self.cache.num_live_shared(match) if match else 0
        return is_admissible(reserved, shared, self.running, self.cache.num_live_cells, limit)

    def admit(self, sequence: Sequence) -> None:
        """Take a sequence in; it begins with the next step."""
        sequence.num_reserved = tokens_to_reserve(sequence, self._runner.context_tokens, self._runner.num_slots)
        self.running.append(sequence)

    def take_preempted(self) -> list[Sequence]:
        """Hand over the sequences that had to give way, oldest first; they are to be admitted again."""
        preempted, self._preempted = sorted(self._preempted, key=lambda one: one.order), []
        return preempted

    def fail_all(self, error: Exception) -> None:
        """End everything, because the engine does."""
        for sequence in list(self.running):
            self._end(sequence, Failed(error=error))
        for sequence in self.take_preempted():
            discard(sequence, Failed(error=error))

    def warm_up(self) -> None:
        """Do before the first request, while nobody waits, what it would have to wait for."""
        self.space.preload()
        cache_id = self.cache.claim()
        if cache_id is not None:
            self._runner.warm_up(cache_id)
            self.cache.drop(cache_id)

    # --- one step ----------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Do one step for the sequences that are in; does nothing when there are none."""
        for sequence in [one for one in self.running if one.handle.cancelled]:
            self._finish(sequence, "cancelled")
        for sequence in [one for one in self.running if one.cache_id is None]:
            self._begin(sequence)
        begun = [one for one in self.running if one.cache_id is not None]
        parts = self._make_room(plan_step(begun, self.costs, self._runner.batch_tokens))
        if not parts:
            return
        self._num_steps += 1
        self.space.swap_idle(sum(part.num_tokens for part in parts))
        for part, sampled in self._run(parts):
            self._accept(part.sequence, sampled)

    def _begin(self, sequence: Sequence) -> None:
        """Give a sequence its place in the cache, with the longest beginning that another one shares with it.

        If one that is still reading its prompt will soon share much more, this one waits for it. If a saved state
        shares much more, it is restored.
        """
        match = self.cache.best_match(sequence.tokens, sequence.adapters)
        known = match.num_tokens if match else 0
        saved = self.space.best_saved(sequence.tokens, sequence.adapters, at_least=WORTH_WAITING_TOKENS)
        known = max(known, saved.num_tokens if saved else 0)
        if self._soon_shared(sequence) >= known + WORTH_WAITING_TOKENS:
            return
        try:
            if sequence.sampler is None:
                request = sequence.request
                sequence.sampler = self._runner.start_sampler(request.sampling, request.prompt_tokens)
        except (PackerError, DecodeError) as error:
            self._end(sequence, Failed(error=error))
            return
        sequence.cache_id = self.space.place(match, sequence.adapters)
        if saved and saved.num_tokens >= len(self.cache.entries[sequence.cache_id].tokens) + WORTH_WAITING_TOKENS:
            self._restore(saved, sequence)
        sequence.num_computed = len(self.cache.entries[sequence.cache_id].tokens)
        if sequence.num_reused is None:
            sequence.num_reused = sequence.num_computed

    def _restore(self, saved: SavedMatch, sequence: Sequence) -> None:
        """Let a sequence that has just got its place begin with a saved state, if there is room for it."""
        has_room = self.space.make_room_for(saved)
        if sequence.cache_id is None:  # growing lost everything
            sequence.cache_id = self.space.place(None, sequence.adapters)
        if has_room:
            self.space.restore(saved, sequence.cache_id)

    def _soon_shared(self, sequence: Sequence) -> int:
        """Return the longest beginning shared with a prompt that is being read."""
        wanted = sequence.tokens[:-1]
        begun = [one for one in self.running if one.cache_id is not None and one.adapters == sequence.adapters]
        reading = [one for one in begun if one.num_remaining > 1]
        return max((common_prefix_length(one.tokens, wanted) for one in reading), default=0)

    def _make_room(self, parts: list[Part]) -> list[Part]:
        """Find the cells that a step needs.

        Idle chats go to ordinary memory, which is cheaper than a larger cache that every step walks over; then the
        cache grows to what the prompts still need, idle sequences are evicted, and at last the youngest running one
        gives way. Where the cache may still grow but memory is short, the youngest fails instead: waiting would not
        help it.
        """
        while sum(part.num_tokens for part in parts) > self.cache.num_free_cells:
            if self.space.tidy():
                continue
            refusal: MachineError | None = None
            try:
                if self.space.grow(sum(part.sequence.num_remaining for part in parts)):
                    parts = [part for part in parts if part.sequence.cache_id is not None]
                    continue
            except MachineError as error:
                refusal = error
            if self.space.evict_oldest():
                continue
            begun = [one for one in self.running if one.cache_id is not None]
            youngest = max(begun, key=lambda one: one.order) if refusal else choose_to_preempt(begun)
            if youngest is None:
                raise RuntimeError("a sequence wants more room than the context has")
            if refusal:
                self._fail(youngest, refusal)
            else:
                self._preempt(youngest)
            parts = [part for part in parts if part.sequence is not youngest]
        return parts

    def shrink_when_short(self) -> bool:
        """Give memory back while nothing runs, if other programs need it; idle chats are read anew when they go on."""
        return not self.running and self.space.shrink_when_short()

    @property
    def is_untidy(self) -> bool:
        """Tell whether :meth:`tidy` has something to do."""
        return not self.running and self.space.is_untidy

    def tidy(self) -> None:
        """While nothing runs, move one idle chat out of the way of what comes next."""
        if self.is_untidy:
            self.space.tidy()

    def _start_over(self) -> None:
        """Read everybody anew, because the cache has lost them."""
        for sequence in self.running:
            sequence.cache_id, sequence.num_computed = None, 0

    def _preempt(self, sequence: Sequence) -> None:
        """Take a sequence's place away; its tokens and its sampler stay, so that it can continue later."""
        _LOG.info("the context is full: a reply of %d tokens waits for room", sequence.num_generated)
        self._forget(sequence)
        self.running.remove(sequence)
        self._preempted.append(sequence)

    def _shift(self, sequence: Sequence) -> bool:
        """Let a sequence that fills the context lose its oldest part; ``False`` when that is not wanted or possible.

        Chats with pictures don't. What others share can't be moved,
        so those that are idle go first; beside running ones it is read anew.
        """
        start = sequence.request.num_keep
        count = num_to_drop(len(sequence.tokens), start)
        if not self._runner.can_shift or count == 0 or sequence.request.pictures:
            return False
        cache_id = self._cache_id(sequence)
        while self.cache.is_shared(cache_id, start) and self.space.evict_oldest():
            pass
        if self.cache.is_shared(cache_id, start) or not self._runner.shift(cache_id, start, count):
            self._forget(sequence)
        else:
            self.cache.shift(cache_id, start, count)
        sequence.drop(start, count)
        return True

    def _forget(self, sequence: Sequence) -> None:
        """Drop what the cache holds of a sequence, so that it begins anew."""
        if sequence.cache_id is not None:
            self.space.drop(sequence.cache_id)
        sequence.cache_id, sequence.num_computed = None, 0

    # --- running -----------------------------------------------------------------------------------------------

    def _run(self, parts: list[Part]) -> Outcome:
        """Run the planned parts, measured; nothing when the engine ends or nobody wants them any more."""
        self.in_flight = tuple(part.sequence for part in parts)
        try:
            self._runner.clear_interrupt()
            if self._is_stopping() or all(one.handle.cancelled for one in self.in_flight):
                return []
            if any(part.sequence.suspect for part in parts):
                return [done for part in parts for done in self._decode([part])]
            started_s = self._clock()
            outcome = self._decode(parts)
            if len(outcome) == len(parts):
                self._record(parts, self._clock() - started_s)
            return outcome
        finally:
            self.in_flight = ()

    def _record(self, parts: list[Part], duration_s: float) -> None:
        if any(part.picture for part in parts):
            return
        num_rows = sum(part.num_tokens == 1 for part in parts)
        num_prompt_tokens = sum(part.num_tokens for part in parts) - num_rows
        self.costs.record(num_rows=num_rows, num_prompt_tokens=num_prompt_tokens, duration_s=duration_s)

    def _decode(self, parts: list[Part]) -> Outcome:
        """Run parts as one batch; on failure find out whose fault it is."""
        try:
            sampled = self._runner.run([self._chunk(part) for part in parts])
        except DecodeInterruptedError:
            self._rewind(parts)
            return []
        except DecodeError as error:
            _LOG.warning("a batch of %d sequences failed: %s", len(parts), error)
            return self._recover(parts, self._rewind(parts), error)
        for part in parts:
            sequence, end = part.sequence, part.position + part.num_tokens
            self.cache.extend(self._cache_id(sequence), sequence.tokens[part.position : end])
            self.num_prompt_tokens_run += max(0, min(end, sequence.num_prompt) - part.position)
            sequence.num_computed = end
            sequence.last_step = self._num_steps
            sequence.suspect = False
        return list(zip(parts, sampled, strict=True))

    def _chunk(self, part: Part) -> Chunk:
        sequence = part.sequence
        return Chunk(
            cache_id=self._cache_id(sequence),
            tokens=sequence.tokens[part.position : part.position + part.num_tokens],
            position=part.position,
            sampler=sequence.sampler if part.is_last else None,
            top_logprobs=sequence.request.top_logprobs,
            picture=part.picture,
            adapters=sequence.adapters,
        )

    def _cache_id(self, sequence: Sequence) -> int:
        if sequence.cache_id is None:
            raise RuntimeError("a sequence without a place in the KV cache was scheduled")
        return sequence.cache_id

    def _rewind(self, parts: list[Part]) -> list[Part]:
        """Bring device and books in line after a batch that ended early; return the parts that can be run again.

        A memory that can't be cut is lost: such a sequence begins anew, alone as long as it may be the culprit.
        """
        intact = []
        for part in parts:
            if self._runner.truncate(self._cache_id(part.sequence), part.position):
                intact.append(part)
            else:
                self._forget(part.sequence)
        return intact

    def _recover(self, parts: list[Part], intact: list[Part], error: DecodeError) -> Outcome:
        """Evict idle sequences, then halve the batch, and only then fail the one request that is left."""
        if len(parts) == 1 and (not intact or not self._has_idle()):
            return self._retry_less(parts[0], bool(intact), error)
        for part in parts:
            part.sequence.suspect = part not in intact
        if self._has_idle():
            while self.space.drop_oldest():
                pass
            return self._decode(intact) if intact else []
        half = (len(intact) + 1) // 2
        return [done for some in (intact[:half], intact[half:]) if some for done in self._decode(some)]

    def _has_idle(self) -> bool:
        return self.cache.oldest_idle() is not None

    def _retry_less(self, part: Part, is_intact: bool, error: DecodeError) -> Outcome:
        """Try a shorter piece of a prompt; fail the request when it is short already."""
        if is_intact and part.picture is None and part.num_tokens > SMALLEST_RETRY_TOKENS:
            return self._decode([replace(part, num_tokens=part.num_tokens // 2)])
        self._fail(part.sequence, error)
        return []

    # --- what comes of it --------------------------------------------------------------------------------------

    def _accept(self, sequence: Sequence, sampled: Sampled) -> None:
        """Publish a new token and end the sequence where it ends."""
        if sampled is None:
            return
        if isinstance(sampled, DecodeError):
            self._fail(sequence, sampled)
            return
        self.has_answered = True
        token = sampled.chosen.token if isinstance(sampled, TokenLogprobs) else sampled
        if self._runner.is_end(token):
            self._finish(sequence, "stop")
            return
        if isinstance(sampled, TokenLogprobs):
            sequence.logprobs.push(sampled, sequence.text.num_decoded)
        sequence.append(token)
        piece = sequence.request.shown_tokens.get(token) or self._runner.piece(token)
        text = sequence.text.push(piece)
        self._publish(sequence, text, sequence.logprobs.take(sequence.text.num_shown))
        # Without a limit a shifted context would let a reply go on for ever.
        limit = sequence.request.max_tokens or self._runner.context_tokens
        is_full = len(sequence.tokens) >= self._runner.context_tokens
        if sequence.text.stopped:
            self._finish(sequence, "stop")
        elif sequence.num_generated >= limit or (is_full and not self._shift(sequence)):
            self._finish(sequence, "length")

    def _publish(self, sequence: Sequence, text: str, logprobs: tuple[TokenLogprobs, ...]) -> None:
        if text or logprobs:
            sequence.handle.put(TextDelta(text=text, logprobs=logprobs))

    def _finish(self, sequence: Sequence, reason: FinishReason) -> None:
        if reason != "cancelled":
            text = sequence.text.finish()
            self._publish(sequence, text, () if sequence.text.stopped else sequence.logprobs.take_all())
        self._end(sequence, finished(sequence, reason))

    def _fail(self, sequence: Sequence, error: DecodeError | MachineError) -> None:
        _LOG.error("generation failed: %s", error)
        self._forget(sequence)
        self._end(sequence, Failed(error=GenerationFailedError(str(error))))

    def _end(self, sequence: Sequence, event: Finished | Failed) -> None:
        """Free the slot, then tell the owner, who may submit the next request at once."""
        self.running.remove(sequence)
        if sequence.cache_id is not None:
            self.space.retire(sequence.cache_id)
            if sequence.num_computed == 0:
                self.space.drop(sequence.cache_id)
            sequence.cache_id = None
        discard(sequence, event)
