"""`lpc-bench remote` against a real sshd on this machine: what crosses the wire when an upload is killed at 30 %.

    python benchmarks/make_checkpoint.py llama-100mb build/llama-100mb
    lpc-export build/llama-100mb -o build/llama-100mb-lpc
    make wheel && python benchmarks/remote.py build/llama-100mb-lpc --wheels dist --out build/remote

Needs Debian's openssh-server. Runs the command four times: cut off at 30 % of the upload, again, unchanged again, and
with the connection cut in the middle of the measuring. Prints one JSON object; results and a page are left in --out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ssh_board import LPC_BENCH, USER, Relay, SshBoard, remote, started, wait_for_line

BOARD = f"{USER}@127.0.0.1"


def local(model: Path, options: list[str]) -> list[int]:
    """Token ids of a run without SSH."""
    command = [sys.executable, "-c", LPC_BENCH, "run", str(model), "-q", "--json", *options]
    ids: list[int] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["check"]["token_ids"]
    return ids


def killed_upload(board: SshBoard, model: Path, options: list[str], out: Path) -> dict[str, Any]:
    """Cut the connection at 30 % of the model, which ends the command, run it again, and once more unchanged.

    The wheel (0.7 MB) and all talk are counted too.
    """
    size = sum(path.stat().st_size for path in model.iterdir() if path.is_file())
    with Relay(board.port, cut_after=int(0.3 * size)) as relay:
        board.trust(relay.port)
        first = remote(board, BOARD, str(model), *options, "--reconnect", "0", port=relay.port)
        cut_at = relay.to_board
        relay.refuse = False
        second = remote(board, BOARD, str(model), *options, "--keep", "-o", str(out / "second.json"), port=relay.port)
        both = relay.to_board
        third = remote(board, BOARD, str(model), *options, "--keep", "-o", str(out / "third.json"), port=relay.port)
        unchanged = relay.to_board - both
    if (first.returncode, second.returncode, third.returncode) != (1, 0, 0):
        raise SystemExit(f"{first.stderr}\n{second.stderr}\n{third.stderr}")
    return {
        "model_bytes": size,
        "wire_bytes_until_cut": cut_at,
        "wire_bytes_both": both,
        "both_over_model": round(both / size, 4),
        "wire_bytes_unchanged_run": unchanged,
        "token_ids": json.loads((out / "second.json").read_text(encoding="utf-8"))["check"]["token_ids"],
    }


def cut_run(board: SshBoard, model: Path, out: Path) -> dict[str, Any]:
    """Cut the connection while the board measures; the same command connects again."""
    file = out / "cut.json"
    options = (
        "-p",
        "16",
        "-n",
        "8",
        "-r",
        "20",
        "--layers",
        "--keep",
        "-o",
        str(file),
        "--report",
        str(out / "report.html"),
    )
    with Relay(board.port) as relay:
        board.trust(relay.port)
        with started(board, BOARD, str(model), *options, port=relay.port) as process:
            wait_for_line(process, " 3 of 20")
            relay.cut()
            _, errors = process.communicate(timeout=200)
    if process.returncode:
        raise SystemExit(errors)
    result = json.loads(file.read_text(encoding="utf-8"))
    return {
        "reconnects": result["remote"]["reconnects"],
        "repetitions": [len(test["repetitions"]) for test in result["tests"]],
        "warnings": result["warnings"],
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--wheels", type=Path, default=Path("dist"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    options = ["-p", "16", "-n", "8", "-r", "2"]
    with TemporaryDirectory() as folder, SshBoard(Path(folder) / "board", arguments.wheels.resolve()) as board:
        warm_up = remote(board, BOARD, str(arguments.model), *options)
        if warm_up.returncode:
            raise SystemExit(warm_up.stderr)
        clean = not board.base.exists()
        upload = killed_upload(board, arguments.model, options, arguments.out)
        cut = cut_run(board, arguments.model, arguments.out)
    same = upload.pop("token_ids") == local(arguments.model, options)
    head = {"clean_after_first_run": clean, "token_ids_equal_local": same}
    print(json.dumps({**head, **upload, "cut_during_run": cut}))


if __name__ == "__main__":
    main()
