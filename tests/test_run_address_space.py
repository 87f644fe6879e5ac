"""Runs for which the system gives no memory or no thread at some moment: one clear error, and later runs are right."""

from __future__ import annotations

import json

from real_models import ExportModel, RunPython

CODE = """
import json, resource, sys
import edge_runtime, edge_runtime.session as S
from edge_runtime.plan import Placement
folder, residence = sys.argv[1:3]
S.place = lambda package, **k: Placement(f"0-{len(package.layers)}:{residence}", 0)
def ids(model):
    generation = model.generate("Once upon a time", greedy=True, max_new_tokens=4)
    for _ in generation: pass
    return list(generation.report.token_ids)
def mapped_bytes():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
def outcome(model, more):
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (mapped_bytes() + more, hard))
    try: return "right" if ids(model) == expected else "wrong"
    except (edge_runtime.LpcError, MemoryError) as error: return str(error) or "no memory"
    finally: resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
expected = ids(edge_runtime.load(folder))
said = {}
for more in range(0, 72 << 20, 6 << 20):  # a thread's stack takes 8 MiB
    model = edge_runtime.load(folder, threads=2)
    said[more >> 20] = [outcome(model, more), "right" if ids(model) == expected else "wrong"]
    del model
print(json.dumps(said))
"""


def outcomes(run_python: RunPython, folder: str, residence: str) -> dict[str, list[str]]:
    done = run_python(CODE, folder, residence)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def check(found: dict[str, list[str]]) -> None:
    assert [after for _, after in found.values()] == ["right"] * len(found)
    refused = {text for text, _ in found.values()} - {"right"}
    assert "wrong" not in refused
    assert refused, "no limit was reached"
    assert all("\n" not in text and "unexpected" not in text for text in refused), refused


def test_address_space_ends_at_any_moment_of_a_streamed_run(export_model: ExportModel, run_python: RunPython) -> None:
    check(outcomes(run_python, str(export_model("demo_model", "lz4")), "streamed"))


def test_address_space_ends_at_any_moment_of_a_transcoding_run(
    export_model: ExportModel, run_python: RunPython
) -> None:
    check(outcomes(run_python, str(export_model("demo_model", "lz4")), "transcoded"))
