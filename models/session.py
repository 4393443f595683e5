"""The only door to onnxruntime."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.errors import InferenceFailed, InferenceTerminated

Tensor = NDArray[np.float32]

MB = 1024 * 1024

LARGE_INPUT = 2 * MB
"""Of a tensor, about 400 x 400 pixels. Larger ones come in many shapes, and what each of them grows
the arena by would stay: 300 MB after a hundred pictures of all formats (measured)."""

GIVE_BACK_EVERY_S = 1.0
"""After each inference it would cost a tenth of the CPU time of pictures of 1080 lines (measured).
"""

FATAL_ONLY = 4
"""Every failure reaches the caller as an exception; onnxruntime need not print it as well."""


@cache
def _share_arena() -> None:
    """One pool of memory for the tensors of all sessions, that grows by what is asked for.

    A pool for each session takes 13 MB more; none leaves the tensors to malloc, whose heap they
    fragment under load: 25 MB more, and 2 % of the CPU time (measured).
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    by_what_is_asked_for = {"arena_extend_strategy": 1, "initial_chunk_size_bytes": MB}
    # Of its default logger, which would print a line each time that memory goes back.
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    growth = {"max_mem": 0, "max_dead_bytes_per_chunk": MB, **by_what_is_asked_for}
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(growth))


class GivingBack:
    """When what the arena has free returns to the system.

    At the end of an inference, if an input was large since the last time, and that was a while ago.
    """

    def __init__(self) -> None:
        self._has_grown = False
        self._last = -math.inf

    def note(self, input_bytes: int) -> None:
        """An inference begins or has ended. At its end too: another may have given back meanwhile,
        while this one still held what it had taken."""
        if input_bytes > LARGE_INPUT:
            self._has_grown = True

    def is_due(self, now: float) -> bool:
        """Whether this inference is to give back; `now` in seconds. Safe to call from any thread:
        two that are told to at once do no harm."""
        if not self._has_grown or now - self._last < GIVE_BACK_EVERY_S:
            return False
        self._has_grown, self._last = False, now
        return True


_giving_back = GivingBack()
"""Of the arena, which all sessions share."""


class Cancellation:
    """Ends the inferences of one request from another thread.

    Make one for each request. After `cancel()`, the inference that is running stops at its next
    graph node, and every later one refuses to start.
    """

    def __init__(self) -> None:
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = FATAL_ONLY
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    @property
    def run_options(self) -> Any:
        """What onnxruntime watches while it runs."""
        return self._run_options

    def cancel(self) -> None:
        """Safe to call from any thread, at any time, more than once."""
        self._cancelled = True
        self._run_options.terminate = True

    @contextmanager
    def giving_memory_back(self) -> Iterator[None]:
        """As the inference in the block ends, the arena's free memory returns to the system."""
        entry = "memory.enable_memory_arena_shrinkage"
        self._run_options.add_run_config_entry(entry, "cpu:0")
        try:
            yield
        finally:
            self._run_options.add_run_config_entry(entry, "")

    def raise_if_cancelled(self) -> None:
        """For the stages between inferences. Raises InferenceTerminated."""
        if self._cancelled:
            raise InferenceTerminated


class Session(Protocol):
    """A loaded graph: immutable, shared by all threads."""

    def run(self, tensor: Tensor, cancellation: Cancellation) -> Mapping[str, Tensor]:
        """All outputs by name, for the graph's one input.

        Raises InferenceFailed or InferenceTerminated.
        """
        ...


class OnnxSession:
    """A graph on one thread of the CPU.

    One thread a session and several threads in the caller's pool: two threads a session gain
    1.6x alone, but lose to one thread each as soon as two sessions run side by side (measured).
    """

    def __init__(self, model: str, graph: Path | bytes) -> None:
        """`graph` is an ONNX file or its content, `model` a name for messages.

        A file loads twice as fast. Raises InferenceFailed when onnxruntime refuses the graph.
        """
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Weights stay; what loading frees of them would be a hole in the arena.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.log_severity_level = FATAL_ONLY
        self._model = model
        source = str(graph) if isinstance(graph, Path) else graph
        try:
            _share_arena()
            self._session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own.
            raise InferenceFailed(model, str(error)) from error
        names = [item.name for item in self._session.get_inputs()]
        if len(names) != 1:
            raise InferenceFailed(model, f"its graph wants the inputs {names}, not just one")
        self._input = names[0]
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, tensor: Tensor, cancellation: Cancellation) -> Mapping[str, Tensor]:
        cancellation.raise_if_cancelled()
        _giving_back.note(tensor.nbytes)
        gives_back = _giving_back.is_due(time.monotonic())
        try:
            with cancellation.giving_memory_back() if gives_back else nullcontext():
                values = self._session.run(
                    self._outputs, {self._input: tensor}, cancellation.run_options
                )
        except Exception as error:
            cancellation.raise_if_cancelled()
            raise InferenceFailed(self._model, str(error)) from error
        finally:
            if not gives_back:
                _giving_back.note(tensor.nbytes)
        return dict(zip(self._outputs, values, strict=True))
