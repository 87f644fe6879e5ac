"""The library's worker threads: shared by callers, absent after fork, and no obstacle to leaving the process."""

from __future__ import annotations

import threading

import codec_arrays
from real_models import RunPython

from edge_runtime import codec

# Uses the pool, forks, uses the pool in the child and then again in the parent.
FORK = """
import os, sys, warnings
sys.path.insert(0, "tests")
warnings.simplefilter("ignore")
import codec_arrays
from edge_runtime import codec

array = codec_arrays.normal("bf16", (256, 256))
blob = codec.encode(array, segment_bytes=4096, threads=4)
for _ in range(3):
    child = os.fork()
    if child == 0:
        same = codec.decode(blob, threads=4).tobytes() == array.tobytes()
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert codec.decode(blob, threads=4).tobytes() == array.tobytes()
"""

MULTIPROCESSING = """
import multiprocessing, sys, warnings
sys.path.insert(0, "tests")
warnings.simplefilter("ignore")
import codec_arrays
from edge_runtime import codec

array = codec_arrays.normal("bf16", (256, 256))
blob = codec.encode(array, segment_bytes=4096, threads=3)
with multiprocessing.get_context("fork").Pool(2) as pool:
    for decoded in pool.starmap(codec.decode, [(blob, 3)] * 4):
        codec_arrays.assert_same(decoded, array)
"""


def test_codec_after_fork_works_in_child_and_parent(run_python: RunPython) -> None:
    done = run_python(FORK)
    assert done.returncode == 0, done.stderr


def test_codec_in_forked_worker_processes_works(run_python: RunPython) -> None:
    done = run_python(MULTIPROCESSING)
    assert done.returncode == 0, done.stderr


def test_codec_called_from_many_threads_is_exact() -> None:
    arrays = [codec_arrays.normal("bf16", (64, 128 + i), seed=i) for i in range(8)]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(10):
            blob = codec.encode(arrays[index], segment_bytes=2048, threads=3)
            if codec.decode(blob, threads=3).tobytes() != arrays[index].tobytes():
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(arrays))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
