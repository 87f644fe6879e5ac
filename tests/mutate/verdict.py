"""What an attempt may end in. Anything else is a failure with a reason.

same      exit code 0 and what the unmutated input gives
warned    exit code 0 and something else, with a warning that names the changed file
other     exit code 0 and something else that the input, sealed anew, says: both providers agree
refused   exit code 1 and one line; warnings, and the notice of a lossy model, may come before it
usage     exit code 2 and at most the usual hint
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mutate.child import PEAK_BYTES, Done

SAME, WARNED, OTHER, REFUSED, USAGE, FAILED = "same", "warned", "other", "refused", "usage", "failed"
OUTCOMES = (SAME, WARNED, OTHER, REFUSED, USAGE, FAILED)
LONGEST_LINE = 1500
_FORBIDDEN = ("Traceback", "unexpected;", "a bug", "MemoryError", "Fatal Python error", "panicked", "terminate called")


@dataclass(frozen=True)
class Verdict:
    """An outcome, and for a failure what is wrong."""

    outcome: str
    reason: str = ""

    @property
    def signature(self) -> str:
        """The reason without what differs from case to case."""
        return re.sub(r"0x[0-9a-f]+|\d+|'[^']*'|/\S+", "#", self.reason)[:160]


def failed(reason: str) -> Verdict:
    """A failure."""
    return Verdict(FAILED, reason)


def of_end(done: Done, program: str, answers_first: bool = False) -> Verdict | None:
    """Judge how a command ended; None if it succeeded and its result is still to be judged.

    `answers_first`: what it did before a failure may be on stdout.
    """
    words = next((word for word in _FORBIDDEN if word in done.stderr), None)
    last = done.lines[-1][:300] if done.lines else ""
    if done.timed_out:
        return failed(f"did not end in time: {_place(done)}")
    if done.status < 0:
        return failed(f"ended by signal {-done.status}: {_place(done) or last}")
    if done.status not in (0, 1, 2):
        return failed(f"ended by status {done.status}: {last}")
    if words is not None:
        return failed(f"said {words!r}: {last}")
    if done.peak_bytes > PEAK_BYTES:
        return failed(f"took {done.peak_bytes >> 20} MiB")
    return _unclear(done, program) or _without_result(done, answers_first)


def warned_of(done: Done, names: set[str]) -> bool:
    """Whether a warning names one of the files."""
    return any("warning" in line and any(name in line for name in names) for line in done.lines)


def _unclear(done: Done, program: str) -> Verdict | None:
    """Whether what was said is no line for a person."""
    for line in done.lines:
        if len(line) > LONGEST_LINE:
            return failed(f"a line of {len(line)} characters: {line[:200]}")
        if not line.isprintable():
            return failed(f"a control character is shown: {ascii(line)[:300]}")
    notices = (f"{program}: warning: ", f"{program}: lossy model: ")
    lines = [line for line in done.lines if not line.startswith(notices)]
    if done.status == 1 and len(lines) != 1:
        return failed(f"exit code 1 and {len(lines)} lines: {' | '.join(lines)[:400]}")
    if done.status == 1 and not lines[0].startswith(f"{program}: "):
        return failed(f"the line does not begin with {program}: {lines[0][:300]}")
    return None


def _without_result(done: Done, answers_first: bool) -> Verdict | None:
    if done.status == 0:
        return None
    if done.stdout.strip() and not answers_first:
        return failed(f"exit code {done.status}, but stdout has {done.stdout[:200]!r}")
    return Verdict(REFUSED if done.status == 1 else USAGE, done.lines[-1] if done.lines else "")


def _place(done: Done) -> str:
    """The innermost frames that faulthandler wrote, in one line."""
    frames = [line.strip() for line in done.lines if line.strip().startswith('File "')]
    return " < ".join(re.sub(r'File ".*/(\S+)", line (\d+) in (\S+)', r"\1:\2 \3", frame) for frame in frames[:4])
