"""A process that forks: its models serve itself alone, the child says so, ends, and may load its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_models import ExportModel, RunPython

BEGIN = """
import os, sys, threading, time, warnings
import edge_runtime, edge_runtime.session as S
from edge_runtime.plan import Placement
warnings.simplefilter("ignore")  # Python 3.12 warns of any fork beside threads
folder, residence = sys.argv[1:3]
placed = S.place
S.place = lambda package, **k: Placement(f"0-{len(package.layers)}:{residence}", 0)
def ids(model):
    generation = model.generate("Once upon a time", greedy=True, max_new_tokens=5)
    for _ in generation: pass
    return list(generation.report.token_ids)
def in_child(work):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try: print("child:", work(), flush=True)
        except edge_runtime.LpcError as error: print("child:", error, flush=True)
        sys.exit(0)  # as a program ends: everything is torn down
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
model = edge_runtime.load(folder, provider=sys.argv[3])
"""
REFUSED = "a model cannot be used after fork"
SECONDS = 40


@pytest.fixture
def folder(export_model: ExportModel) -> Path:
    return export_model("demo_model", "lz4")


@pytest.mark.parametrize(
    ("residence", "provider"),
    [("streamed", "lpc"), ("resident", "lpc"), ("transcoded", "lpc"), ("decoded", "lpc"), ("streamed", "cpu")],
)
def test_fork_after_a_run_child_is_told_and_parent_goes_on(
    folder: Path, run_python: RunPython, residence: str, provider: str
) -> None:
    code = BEGIN + "before = ids(model); code = in_child(lambda: ids(model)); print(code, ids(model) == before)"
    done = run_python(code, str(folder), residence, provider, timeout=SECONDS)
    said, result = done.stdout.splitlines()
    assert REFUSED in said
    assert str(folder) in said
    assert (result, done.returncode, done.stderr) == ("0 True", 0, "")


def test_fork_before_any_run_child_is_told(folder: Path, run_python: RunPython) -> None:
    code = BEGIN + "code = in_child(lambda: ids(model)); print(code, len(ids(model)))"
    done = run_python(code, str(folder), "streamed", "lpc", timeout=SECONDS)
    assert REFUSED in done.stdout
    assert done.stdout.endswith("0 5\n")


def test_fork_in_the_middle_of_a_pass_both_go_on(folder: Path, run_python: RunPython) -> None:
    code = (
        BEGIN
        + """
expected, found, stop = ids(model), [], threading.Event()
def work():
    while not stop.is_set(): found.append(ids(model) == expected)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
codes = []
for _ in range(6):
    time.sleep(0.05)
    codes.append(in_child(lambda: ids(model)))
stop.set()
for thread in threads: thread.join()
print(codes, all(found), len(found) > 0)
"""
    )
    done = run_python(code, str(folder), "streamed", "lpc", timeout=SECONDS)
    assert done.stdout.count(REFUSED) == 6
    assert done.stdout.endswith("[0, 0, 0, 0, 0, 0] True True\n"), done.stdout + done.stderr


def test_fork_child_loads_the_same_model_and_runs_it(folder: Path, run_python: RunPython) -> None:
    code = (
        BEGIN
        + """
expected = ids(model)
print(in_child(lambda: ids(edge_runtime.load(folder)) == expected))
S.place = placed  # with a budget of its own, whatever the parent's models take
print(in_child(lambda: ids(edge_runtime.load(folder, memory_budget=120 << 20)) == expected))
"""
    )
    done = run_python(code, str(folder), "streamed", "lpc", timeout=SECONDS)
    assert done.stdout.splitlines() == ["child: True", "0", "child: True", "0"], done.stderr


def test_fork_pool_of_multiprocessing_tells_each_call(folder: Path, run_python: RunPython) -> None:
    code = (
        BEGIN
        + """
import multiprocessing
def call(number):
    try: return ids(model)
    except edge_runtime.LpcError as error: return str(error)
def load(number): return ids(edge_runtime.load(folder))
expected = ids(model)
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    print(all("cannot be used after fork" in text for text in pool.map(call, range(4))))
    print(pool.map(load, range(2)) == [expected] * 2)
    pool.close(); pool.join()
"""
    )
    done = run_python(code, str(folder), "streamed", "lpc", timeout=SECONDS)
    assert done.stdout.splitlines() == ["True", "True"], done.stderr


def test_fork_session_of_plain_onnxruntime_is_told_by_the_provider(folder: Path, run_python: RunPython) -> None:
    code = (
        BEGIN
        + """
from edge_runtime.sequence import SequenceDecoder
import edge_runtime.fork as F
def native():
    F._number = model._graph.process  # as for a program that uses onnxruntime without edge_runtime
    return SequenceDecoder(model._graph, 8, 8).prefill([1, 2])
ids(model)
print(in_child(native))
"""
    )
    done = run_python(code, str(folder), "streamed", "lpc", timeout=SECONDS)
    assert "model.lpc: a model cannot be used after fork" in done.stdout
    assert done.stdout.endswith("\n0\n")


def test_fork_child_leaves_the_trace_to_its_parent(folder: Path, run_python: RunPython, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    code = (
        BEGIN
        + """
traced = edge_runtime.load(folder, trace=sys.argv[4])
ids(traced)
in_child(lambda: "nothing")
print(os.path.exists(sys.argv[4]) and os.path.getsize(sys.argv[4]))
"""
    )
    done = run_python(code, str(folder), "streamed", "lpc", str(trace), timeout=SECONDS)
    assert done.stdout in ("child: nothing\n0\n", "child: nothing\nFalse\n"), done.stderr
    assert trace.stat().st_size > 100


def test_fork_beside_onnxruntime_with_threads_of_its_own_child_ends_with_its_own_status(run_python: RunPython) -> None:
    code = """
import ctypes, os, sys, warnings, onnxruntime, edge_runtime
warnings.simplefilter("ignore")
edge_runtime.register()
child = os.fork()
if child == 0:
    ctypes.CDLL(None).printf(b"from C\\n")
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run_python(code, env={"ORT_DISABLE_TELEMETRY": "0"}, timeout=SECONDS)
    assert (done.stdout, done.stderr, done.returncode) == ("from C\n7\n", "", 0)


def test_fork_importing_the_package_onnxruntime_sends_nothing_unless_asked(run_python: RunPython) -> None:
    code = "import os, edge_runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run_python(code).stdout == "1\n"
    assert run_python(code, env={"ORT_DISABLE_TELEMETRY": "0"}).stdout == "0\n"
