"""`lpc-bench remote` among other people, by hand: real servers, real measurements, and what is left on each board.

    .venv/bin/python tests/board/among_others.py MODEL WHEELS [SCENE...]

MODEL is an exported folder, WHEELS a folder with our wheel (`make demo wheel`: out/demo dist). Every board is an sshd
of its own with an empty home and, for root, a machine name of its own. Exits with 1 if anything is left, or wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ssh_board import BOARD, QUICK, Relay, SshBoard, remote, started, suspended, wait_for_line

LONG = ("-p", "256", "-n", "0", "-r", "40")
BOARDS = 10
TIMEOUT_S = 600.0
SCENES = ("noisy", "shells", "two_operators", "shared_home", "two_ports", "one_of_ten")


class Scenes:
    """Runs one after the other, each in a folder of its own; `bad` says what was not as it should be."""

    def __init__(self, place: Path, model: Path, wheels: Path) -> None:
        self._place, self._model, self._wheels = place, str(model), wheels
        self.bad: list[str] = []

    @contextlib.contextmanager
    def _boards(
        self, title: str, count: int = 1, home: Path | None = None, shell: str = ""
    ) -> Iterator[list[SshBoard]]:
        """Boards that know the same key; afterwards says what each of them has that it did not have before."""
        print(f"\n== {title}", flush=True)
        folder = Path(tempfile.mkdtemp(dir=self._place))
        names = [f"board-{number}" if os.geteuid() == 0 else None for number in range(count)]
        boards = [
            SshBoard(folder / str(number), self._wheels, home=home, host=name) for number, name in enumerate(names)
        ]
        for board in boards[1:]:
            shutil.copy(boards[0].folder / "authorized_keys", board.folder)
            board.known_hosts = boards[0].known_hosts
            board.trust(board.port)
        if shell:
            boards[0].log_in_with(shell)
            environment = {**os.environ, "HOME": str(boards[0].home)}
            subprocess.run([shell, "-c", "true"], env=environment, check=False)  # fish makes folders of its own
        before = {path for board in boards for path in board.home.rglob("*")}
        with contextlib.ExitStack() as stack:
            for board in boards:
                stack.enter_context(board)
            yield boards
            for board in boards:
                self._left(board, before)

    def _left(self, board: SshBoard, before: set[Path]) -> None:
        found = [str(path.relative_to(board.folder)) for path in (board.folder / "tmp").iterdir()]
        found += [str(path) for path in board.home.rglob("*") if path not in before and path.name != ".bashrc"]
        found += [f"process {process.pid} ({process.name()})" for process in board.processes()]
        print(f"   left on {board.port}: {', '.join(found) or 'nothing'}")
        self._expect(not found, f"something is left: {found}")

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.bad.append(what)
            print(f"   WRONG: {what}")

    def _measure(self, boards: Sequence[SshBoard], targets: Sequence[str], results: int, code: int = 0) -> str:
        with tempfile.TemporaryDirectory(dir=self._place) as out:
            words = [*targets, self._model, *QUICK, "--timeout", "5", "-o", f"{out}/results"]
            done = remote(boards[0], *words, timeout=TIMEOUT_S)
            found = sorted(Path(out).rglob("*")) if len(targets) > 1 else [Path(out) / "results"]
            names = {path.name: json.loads(path.read_bytes())["tests"][0]["name"] for path in found if path.is_file()}
        table = [line for line in done.stdout.splitlines() if line.startswith("|")]
        said = [line for line in done.stderr.splitlines() if line.startswith("lpc-bench: ") or "waits: " in line]
        for line in (*table, *said):
            print(f"   {line}")
        print(f"   exit {done.returncode}; results: {', '.join(names) or 'none'}", flush=True)
        self._expect((done.returncode, len(names)) == (code, results), f"expected exit {code}, {results} results")
        return done.stderr

    def noisy(self) -> None:
        with self._boards("a noisy login: greeting without end of line, trace, escapes") as boards:
            noise = 'set -x; echo "Welcome to rack 4"; printf "\\033[2J no end of line"; seq 1 2000\n'
            (boards[0].home / ".bashrc").write_text(noise, encoding="ascii")
            self._measure(boards, [BOARD], 1)

    def shells(self) -> None:
        for shell in ("fish", "tcsh", "dash", "rbash"):
            path = shutil.which(shell)
            if path is None:
                print(f"\n== {shell}: not installed")
                continue
            with self._boards(f"login shell {shell}", shell=path) as boards:
                self._measure(boards, [BOARD], 1)
        with self._boards("login shell false", shell="/bin/false") as boards:
            self._measure(boards, [BOARD], 0, code=1)

    def two_operators(self) -> None:
        with self._boards("two operators: the second comes while the first measures") as boards:
            with started(boards[0], BOARD, self._model, *LONG, "--json") as first:
                wait_for_line(first, f" 1 of {LONG[-1]}")
                with suspended(boards[0]):
                    self._measure(boards, [BOARD], 0, code=1)
                out, errors = first.communicate(timeout=TIMEOUT_S)
            count = len(json.loads(out)["tests"][0]["repetitions"]) if first.returncode == 0 else 0
            print(f"   the first: exit {first.returncode}, {count} repetitions")
            self._expect(count == int(LONG[-1]), f"the first operator lost the result: {errors[-500:]}")

    def shared_home(self) -> None:
        home = self._place / "home"
        home.mkdir()
        with self._boards("two boards, one home", 2, home) as boards:
            self._measure(boards, [f"{BOARD}:{board.port}" for board in boards], 2)

    def two_ports(self) -> None:
        title = "two ports of one address that lead to one machine"
        with self._boards(title) as boards, Relay(boards[0].port) as relay:
            boards[0].trust(relay.port)
            self._measure(boards, [f"{BOARD}:{port}" for port in (boards[0].port, relay.port)], 2)
        with self._boards("two ports of one address that lead to two machines", 2) as boards:
            self._measure(boards, [f"{BOARD}:{board.port}" for board in boards], 2)

    def one_of_ten(self) -> None:
        with self._boards(f"one of {BOARDS} bad: its login writes without end", BOARDS) as boards:
            (boards[3].home / ".bashrc").write_text("exec yes\n", encoding="ascii")
            said = self._measure(boards, [f"{BOARD}:{board.port}" for board in boards], BOARDS - 1, code=1)
            named = f"127.0.0.1:{boards[3].port}: the board writes without end" in said
            self._expect(named, "the bad one is not named")


def main() -> int:
    model, wheels = (Path(word).resolve() for word in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as place:
        scenes = Scenes(Path(place), model, wheels)
        for name in sys.argv[3:] or SCENES:
            getattr(scenes, name)()
    print(f"\n{len(scenes.bad)} wrong")
    return 1 if scenes.bad else 0


if __name__ == "__main__":
    sys.exit(main())
