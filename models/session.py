"""The only module that talks to onnxruntime."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.errors import InferenceFailed, InferenceTerminated

Tensor = NDArray[np.float32]

MB = 1024 * 1024

LARGE_INPUT = 2 * MB
"""Bytes of a large input tensor, about 400 x 400 pixels. Larger ones come in many shapes, and each
shape grows the arena for good: 300 MB after a hundred pictures of all formats (measured)."""

SHRINK_INTERVAL_S = 1.0
"""Shrinking the arena after each inference would cost a tenth of the CPU time of pictures with
1080 lines (measured)."""

FATAL_ONLY = 4
"""Log level: every failure reaches the caller as an exception, so onnxruntime need not print it."""


@cache
def _share_arena() -> None:
    """Create one memory arena for the tensors of all sessions, which grows by what is requested.

    An arena per session takes 13 MB more; no arena leaves the tensors to malloc, whose heap they
    fragment under load: 25 MB more, and 2 % of the CPU time (measured).
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # The default logger would print a line each time the arena shrinks.
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    by_what_is_requested = {"arena_extend_strategy": 1, "initial_chunk_size_bytes": MB}
    growth = {"max_mem": 0, "max_dead_bytes_per_chunk": MB, **by_what_is_requested}
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(growth))


class ArenaShrinking:
    """Decides when an inference returns the arena's free memory to the system.

    It does so at its end, if an input has been large since the last time, at most once per
    ``SHRINK_INTERVAL_S``. Any thread may call any method: two concurrent shrinks do no harm.
    """

    def __init__(self) -> None:
        self._has_grown = False
        self._last = -math.inf

    def note(self, input_bytes: int) -> None:
        """Note an input at the start of an inference, and again at its end.

        Again, because another inference may have shrunk the arena meanwhile, while this one still
        held its share.
        """
        if input_bytes > LARGE_INPUT:
            self._has_grown = True

    def is_due(self, now: float) -> bool:
        """Whether the inference that starts is to shrink the arena; ``now`` in seconds."""
        if not self._has_grown or now - self._last < SHRINK_INTERVAL_S:
            return False
        self._has_grown, self._last = False, now
        return True


arena_shrinking = ArenaShrinking()
"""Of the arena that all sessions share."""


class Cancellation:
    """Ends the inferences of one request from another thread.

    Create one per request. After ``cancel()``, the running inference stops at its next graph
    node, and no later one starts.
    """

    def __init__(self) -> None:
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = FATAL_ONLY
        self._cancelled = False

    @property
    def run_options(self) -> onnxruntime.RunOptions:
        """The options that onnxruntime checks while it runs."""
        return self._run_options

    def cancel(self) -> None:
        """Cancel the request. Any thread may call this, at any time, more than once."""
        self._cancelled = True
        self._run_options.terminate = True

    @contextmanager
    def shrinking_the_arena(self) -> Iterator[None]:
        """Let the inference in the block return the arena's free memory to the system."""
        entry = "memory.enable_memory_arena_shrinkage"
        self._run_options.add_run_config_entry(entry, "cpu:0")
        try:
            yield
        finally:
            self._run_options.add_run_config_entry(entry, "")

    def raise_if_cancelled(self) -> None:
        """Raise ``InferenceTerminated`` if cancelled; for the stages between inferences."""
        if self._cancelled:
            raise InferenceTerminated


class Session(Protocol):
    """A loaded graph: immutable, shared by all threads."""

    def run(self, tensor: Tensor, cancellation: Cancellation) -> Mapping[str, Tensor]:
        """Run the graph on its one input and return all outputs by name.

        Raises ``InferenceFailed`` or ``InferenceTerminated``.
        """
        ...


class OnnxSession:
    """A graph on one CPU thread.

    Several single-threaded sessions run in the caller's pool: two threads per session gain 1.6x
    alone, but lose to one thread each as soon as two sessions run concurrently (measured).
    """

    def __init__(self, model: str, graph: Path | bytes) -> None:
        """Load a graph; ``graph`` is an ONNX file or its content, ``model`` a name for messages.

        A file loads twice as fast. Raises ``InferenceFailed`` when onnxruntime refuses the graph.
        """
        self._model = model
        source = str(graph) if isinstance(graph, Path) else graph
        try:
            _share_arena()
            self._session = onnxruntime.InferenceSession(
                source, _session_options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime's exceptions have no common base class.
            raise InferenceFailed(model, str(error)) from error
        names = [item.name for item in self._session.get_inputs()]
        if len(names) != 1:
            raise InferenceFailed(model, f"its graph has the inputs {names}, expected one")
        self._input = names[0]
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, tensor: Tensor, cancellation: Cancellation) -> Mapping[str, Tensor]:
        cancellation.raise_if_cancelled()
        arena_shrinking.note(tensor.nbytes)
        shrinks = arena_shrinking.is_due(time.monotonic())
        try:
            with cancellation.shrinking_the_arena() if shrinks else nullcontext():
                values = self._session.run(
                    self._outputs, {self._input: tensor}, cancellation.run_options
                )
        except Exception as error:
            cancellation.raise_if_cancelled()
            raise InferenceFailed(self._model, str(error)) from error
        finally:
            if not shrinks:
                arena_shrinking.note(tensor.nbytes)
        return dict(zip(self._outputs, values, strict=True))


def _session_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights outside the arena: memory that loading frees would leave holes in it.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.log_severity_level = FATAL_ONLY
    return options
