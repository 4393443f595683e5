"""Sessions: results, cancellation, failures, and memory."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.errors import InferenceFailed, InferenceTerminated
from models.session import LARGE_INPUT, SHRINK_INTERVAL_S, ArenaShrinking, Cancellation, OnnxSession


def multiplications(count: int, size: int) -> bytes:
    """A graph of ``count`` successive matrix products."""
    weight = np.eye(size, dtype=np.float32)
    nodes = [helper.make_node("MatMul", [f"x{i}", "w"], [f"x{i + 1}"]) for i in range(count)]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [size, size])],
        [helper.make_tensor_value_info(f"x{count}", TensorProto.FLOAT, [size, size])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_outputs_are_returned_by_name() -> None:
    """For the graph's one input."""
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    outputs = OnnxSession("small", multiplications(2, 3)).run(x, Cancellation())
    assert ["x2"] == list(outputs)
    np.testing.assert_array_equal(outputs["x2"], x)


def test_cancelling_ends_a_running_inference_from_another_thread() -> None:
    """A run of half a minute stops at its next node, which frees its thread."""
    session = OnnxSession("heavy", multiplications(800, 1024))
    cancellation = Cancellation()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            session.run(np.ones((1024, 1024), np.float32), cancellation)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    used_before = time.process_time()
    thread.start()
    # It is running for certain once this process has used CPU time, which only the thread does.
    while thread.is_alive() and time.process_time() - used_before < 0.3:
        thread.join(0.01)
    assert thread.is_alive(), f"the inference ended by itself: {raised}"
    cancellation.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert [InferenceTerminated] == [type(error) for error in raised]


def test_a_cancelled_request_starts_no_inference() -> None:
    """Between stages, and before a run."""
    cancellation = Cancellation()
    cancellation.raise_if_cancelled()
    cancellation.cancel()
    cancellation.cancel()
    with pytest.raises(InferenceTerminated):
        cancellation.raise_if_cancelled()
    with pytest.raises(InferenceTerminated):
        OnnxSession("small", multiplications(1, 3)).run(np.eye(3, dtype=np.float32), cancellation)


def test_one_cancellation_leaves_other_requests_alone() -> None:
    """Requests share sessions, but not cancellations."""
    session = OnnxSession("small", multiplications(1, 3))
    cancelled = Cancellation()
    cancelled.cancel()
    with pytest.raises(InferenceTerminated):
        session.run(np.eye(3, dtype=np.float32), cancelled)
    assert "x1" in session.run(np.eye(3, dtype=np.float32), Cancellation())


def test_a_wrong_tensor_is_a_failed_inference() -> None:
    """The caller never sees onnxruntime's own exceptions."""
    session = OnnxSession("small", multiplications(1, 3))
    with pytest.raises(InferenceFailed, match="small failed: .*Expected: 3"):
        session.run(np.ones((4, 4), np.float32), Cancellation())


def test_an_invalid_graph_is_a_failed_inference() -> None:
    """The error names the model."""
    with pytest.raises(InferenceFailed, match="broken failed"):
        OnnxSession("broken", b"not a graph")


def test_the_arena_shrinks_after_large_inputs_at_most_once_a_second() -> None:
    """At once after a pause, then once a second, and once after the last large input."""
    shrinking, later = ArenaShrinking(), 100.0
    shrinking.note(LARGE_INPUT)
    assert not shrinking.is_due(later)
    shrinking.note(LARGE_INPUT + 1)
    assert shrinking.is_due(later)
    shrinking.note(LARGE_INPUT + 1)
    assert not shrinking.is_due(later + SHRINK_INTERVAL_S * 0.4)
    shrinking.note(1)
    assert not shrinking.is_due(later + SHRINK_INTERVAL_S * 0.9)
    assert shrinking.is_due(later + SHRINK_INTERVAL_S)
    assert not shrinking.is_due(later + SHRINK_INTERVAL_S * 9)


def test_the_arena_shrinks_again_after_an_inference_that_was_still_running() -> None:
    """It held memory that the earlier shrink could not return."""
    shrinking = ArenaShrinking()
    shrinking.note(LARGE_INPUT + 1)  # begins
    assert shrinking.is_due(100.0)  # for another inference
    shrinking.note(LARGE_INPUT + 1)  # ends
    assert shrinking.is_due(100.0 + SHRINK_INTERVAL_S)


def test_only_the_inference_in_the_block_shrinks_the_arena() -> None:
    """Later ones of the same request do not."""
    cancellation = Cancellation()
    options, entry = cancellation.run_options, "memory.enable_memory_arena_shrinkage"
    session = OnnxSession("small", multiplications(1, 3))
    x = np.ones((3, 3), np.float32)
    with cancellation.shrinking_the_arena():
        assert options.get_run_config_entry(entry) == "cpu:0"
        session.run(x, cancellation)
    assert options.get_run_config_entry(entry) == ""


ARENA = """
import os, re, sys
import numpy as np
from models.session import Cancellation, OnnxSession, ArenaShrinking
import models.session
from tests.models.test_session import multiplications

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

session = OnnxSession("large", multiplications(2, int(sys.argv[1])))
x = np.ones((int(sys.argv[1]),) * 2, np.float32)
if sys.argv[2] == "keeps":
    models.session.arena_shrinking.is_due = lambda *_: False
before = resident_mb()
outputs = session.run(x, Cancellation())
del outputs
print(resident_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_large_input_leaves_no_memory_behind() -> None:
    """Compared with a process that never shrinks its arena."""

    def left_mb(how: str) -> float:
        command = [sys.executable, "-c", ARENA, "3000", how]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert ran.stderr == "", "onnxruntime must not write into the log"
        return float(ran.stdout)

    keeps, gives = left_mb("keeps"), left_mb("gives")
    assert keeps - gives > 25, (keeps, gives)  # the tensor between the two products: 36 MB
