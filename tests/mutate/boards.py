"""What boards answer: a visit over SSH and a command over a serial line, with answers edited on their way.

The board's side is the real one. Installed there is a stand-in for lpc-bench, which hands over a recorded result.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

from edge_runtime.remote.agent import SILENCE_SECONDS
from mutate import answers_, bases, board_server, bytes_, child, files_, json_, verdict
from mutate.cases import Case, Mutators, NotApplicable, Weights, mutate
from mutate.packages import export
from mutate.verdict import OTHER, REFUSED, SAME, Verdict, failed

_RESULT = "result.json"
_WALL_SECONDS = 3 * SILENCE_SECONDS
"""A visit may wait for a board that has fallen silent, and connect again."""
_OURS = frozenset({"remote", "created", "board", "warnings"})
"""What this side adds to a result, or knows from what the board says of itself."""
_STAND_IN = """#!/usr/bin/env python3
import os, shutil, sys
print("lpc-bench: 3 runs", file=sys.stderr)
source = os.path.join(os.environ["HOME"], "result")
if os.path.isfile(os.path.join(source, "result.json")):
    shutil.copy(os.path.join(source, "result.json"), "result.json")
else:
    os.rename(os.path.join(source, "result.json"), "result.json")
"""


def _in_home(mutator: Any) -> Any:
    """Another mutator, applied to the folder that holds the board's result."""

    def changed(folder: Path, rng: Any) -> str:
        place = folder / "home" / "result"
        if not place.is_dir():
            raise NotApplicable
        return f"result: {mutator(place, rng)}"

    return changed


class Boards:
    """The kind `board`."""

    name: ClassVar[str] = "board"
    mutators: ClassVar[Mutators] = {
        "answer": (answers_.edit, 20),
        "result": (_in_home(json_.on_json(_RESULT)), 5),
        "result bytes": (_in_home(bytes_.on_file(bytes_.flipped)), 1),
        "result replaced": (_in_home(files_.replaced), 2),
    }
    manners: ClassVar[Weights] = {"visit": 1}
    bases = ("ssh", "ssh", "ssh", "serial")

    def __init__(self, only: tuple[str, ...] = ()) -> None:
        self.bases = only or self.bases
        self._place = Path()
        self._recorded: dict[str, Any] = {}

    def prepare(self, place: Path) -> None:
        """Record a result, and put the stand-in where the runtime of a board lies."""
        import asyncssh

        self._place = place
        source = bases.write({"llama"}, place / "checkpoints")["llama"]
        assert export(source, place / "model", "--codec", "lz4").status == 0
        self._record()
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(place / "host_key")
        asyncssh.read_private_key(place / "host_key").write_public_key(place / "host_key.pub")
        (place / f"lpc_edge_runtime-0-py3-none-manylinux_2_35_{os.uname().machine}.whl").write_bytes(b"a stand-in")
        for name in ("home/result", "tmp", "bin"):
            (place / "board" / name).mkdir(parents=True)
        shutil.copy(place / _RESULT, place / "board/home/result")
        (place / "board" / answers_.EDITS).write_text("[]", encoding="ascii")
        (place / "board/bin/python3").symlink_to(Path(sys.executable).resolve())
        for base in dict.fromkeys(self.bases):
            found = self.attempt(Case(self.name, 0, 0, base, (), False, "visit"), place / "try")
            assert found.outcome == SAME, f"{base}: {found}"
            shutil.rmtree(place / "try")

    def attempt(self, case: Case, place: Path) -> Verdict:
        """Mutate a copy of the board, visit it, judge."""
        place.mkdir(parents=True, exist_ok=True)
        folder = place / "input"
        shutil.copytree(self._place / "board", folder, symlinks=True)
        mutate(self, case, folder)
        if case.base == "serial":
            return self._typed(folder)
        self._install(folder)
        return self._visited(folder)

    def script(self, case: Case) -> str:
        """The case can be tried again by its number only: the board is a process of the harness."""
        return f"make -C {bases.ROOT} mutate MUTATE='--only board --seed {case.seed} --cases {case.number}'"

    def _record(self) -> None:
        from edge_runtime.cli.bench import main

        arguments = ["run", "model", "-p", "4", "-n", "2", "-r", "1", "--threads", "1", "-o", _RESULT]
        done = child.run(main, arguments, self._place)
        assert done.status == 0, done.stderr
        self._recorded = json.loads((self._place / _RESULT).read_bytes())

    def _install(self, folder: Path) -> None:
        """Put the stand-in into the board's runtime folder, which is named as the client names it."""
        from edge_runtime.remote.board import place as board_place
        from edge_runtime.remote.wheels import digest

        wheel = next(self._place.glob("*.whl"))
        version = ".".join(map(str, sys.version_info[:3]))
        name = digest(wheel, str(folder / "bin/python3"), version, "system")
        runtime = board_place.base_of(str(folder / "home/.cache/lpc-bench")) / "runtime" / name
        (runtime / "bin").mkdir(parents=True)
        (runtime / ".complete").touch()
        (runtime / "bin/python").symlink_to(folder / "bin/python3")
        (runtime / "bin/lpc-bench").write_text(_STAND_IN, encoding="ascii")

    def _visited(self, folder: Path) -> Verdict:
        from edge_runtime.cli.bench import main

        with board_server.board(folder, self._place / "host_key") as port:
            known = f"[127.0.0.1]:{port} {(self._place / 'host_key.pub').read_text(encoding='ascii')}"
            (folder / "known_hosts").write_text(known, encoding="ascii")
            done = child.run(main, self._arguments(folder, port), folder.parent, _WALL_SECONDS)
        said = verdict.of_end(done, "lpc-bench", answers_first=True)
        fetched = folder.parent / "fetched.json"
        if said is not None and not (said.outcome == REFUSED and fetched.exists()):
            return said
        wrong = self._wrong(folder, fetched)
        if wrong:
            return failed(f"exit code {done.status}, and {wrong}")
        return said or Verdict(SAME if self._tells_the_truth(folder) else OTHER)

    def _wrong(self, folder: Path, fetched: Path) -> str:
        """What is wrong with the result that was fetched; a board that lies may tell what it likes."""
        try:
            result = json.loads(fetched.read_bytes())
            figures = {name: value for name, value in result.items() if name not in _OURS}
        except (OSError, ValueError, AttributeError) as error:
            return f"there is no result ({error})"
        expected = {name: value for name, value in self._recorded.items() if name not in _OURS}
        return (
            "other figures than the board's without a word"
            if figures != expected and self._tells_the_truth(folder)
            else ""
        )

    def _tells_the_truth(self, folder: Path) -> bool:
        """Whether the board has the recorded result still."""
        file = folder / "home/result" / _RESULT
        return file.is_file() and file.read_bytes() == (self._place / _RESULT).read_bytes()

    def _arguments(self, folder: Path, port: str) -> list[str]:
        given = {
            "--known-hosts": folder / "known_hosts", "--ssh-config": "/dev/null", "--wheel": self._place,
            "--port": port, "--packages": "system", "--timeout": 5, "--reconnect": 1, "-p": 4, "-n": 2, "-r": 1,
            "-o": "fetched.json", "--report": "report.html",
        }  # fmt: skip
        options = [str(word) for pair in given.items() for word in pair]
        return ["remote", "--quiet", *options, "someone@127.0.0.1", str(self._place / "model")]

    def _typed(self, folder: Path) -> Verdict:
        """A serial line has no checksum: what it garbles within a command's output cannot be told from output."""
        from edge_runtime.cli.board import main

        with board_server.board(folder, None) as device:
            words = ["console", "run", "--device", device, "--baud", "115200", "--timeout", "4", "--json", "--"]
            done = child.run(main, [*words, "echo $((6 * 7))-answers"], folder.parent)
        said = verdict.of_end(done, "lpc-board")
        if said is not None:
            return said
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            return failed(f"exit code 0, and stdout is no answer: {done.stdout[:200]!r}")
        return Verdict(SAME if answer == {"text": "42-answers\n", "status": 0} else OTHER)
