"""`lpc-bench remote` against a real sshd: the whole way, interruptions, what stays on the board."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from real_models import ExportModel, RunPython
from ssh_board import (
    BOARD,
    LPC_BENCH,
    QUICK,
    SMALL,
    SSHD,
    USER,
    FirstRun,
    Relay,
    SshBoard,
    interrupt,
    invoke,
    started,
    suspended,
    wait_for_line,
)

from edge_runtime.bench.result_file import load_result, to_json
from edge_runtime.io.typed_json import write

LONG = ("-p", "256", "-n", "0", "-r", "40")
LARGE_BYTES = 6_000_000

pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd: apt-get install openssh-server")


@pytest.fixture(scope="module")
def folder(export_model: ExportModel) -> Path:
    return export_model("demo_model", "lz4")


@pytest.fixture(scope="module")
def board(first_run: FirstRun, tmp_path_factory: pytest.TempPathFactory, wheel_folder: Path) -> Iterator[SshBoard]:
    """A board on which runtime and model are already."""
    with SshBoard(tmp_path_factory.mktemp("board"), wheel_folder) as found:
        first_run.deploy(found.home)
        yield found


def kept(board: SshBoard) -> set[str]:
    """What lies on the board, two levels deep, without the runtime's inside."""
    return {str(path.relative_to(board.place)) for pattern in ("*", "*/*") for path in board.place.glob(pattern)}


def test_remote_gives_what_a_local_run_gives(
    first_run: FirstRun, folder: Path, run_python: RunPython, tmp_path: Path
) -> None:
    assert first_run.done.returncode == 0, first_run.done.stderr
    for step in ("connecting", "Python 3", "installing", "sending", "s left", "1 of 2", "done; "):
        assert step in first_run.done.stderr
    assert "| demo_model | " in first_run.done.stdout
    first, local = first_run.out, tmp_path / "local.json"
    done = run_python(LPC_BENCH, "run", str(folder), *SMALL, "--layers", "-q", "-o", str(local))
    assert done.returncode == 0, done.stderr
    here, there = load_result(local), load_result(first)
    assert there.check.token_ids == here.check.token_ids
    assert set(to_json(there)) == {*to_json(here), "remote"}
    assert [sorted(write(test)) for test in there.tests] == [sorted(write(test)) for test in here.tests]
    assert replace(there.model, folder=here.model.folder) == here.model
    assert there.layers
    assert there.remote is not None
    assert there.remote.target == "127.0.0.1"
    assert there.remote.before.machine == os.uname().machine
    assert there.remote.uploaded.sent_bytes == there.remote.uploaded.total_bytes > 1e6
    compared = run_python(LPC_BENCH, "compare", str(local), str(first), "--json")
    assert len(json.loads(compared.stdout)["tests"]) == 2
    assert first.with_suffix(".html").read_text(encoding="utf-8").count("<svg") >= 4


def test_remote_unchanged_second_run_sends_under_1_mb(board: SshBoard, folder: Path) -> None:
    before = kept(board)
    with Relay(board.port) as relay:
        board.trust(relay.port)
        chosen = ("--profile", "jetson-orin-nano-8gb")
        done = invoke(board, BOARD, str(folder), *QUICK, *chosen, "--json", port=relay.port)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["remote"]["uploaded"]["sent_bytes"] == 0
        assert (result["board"]["id"], result["board"]["reasons"]) == ("jetson-orin-nano-8gb", ["--profile"])
        assert relay.to_board < 1_000_000
    assert kept(board) == before  # it was there before, so it stays, with and without --keep


def test_remote_upload_cut_at_30_percent_goes_on(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    model = large_model(folder, tmp_path)
    size = sum(path.stat().st_size for path in model.iterdir())
    with Relay(board.port, rate=6e6, cut_after=int(0.3 * size)) as relay:  # throttled: little is in flight
        board.trust(relay.port)
        cut = invoke(board, BOARD, str(model), *QUICK, "--reconnect", "1", port=relay.port)
        assert cut.returncode == 1
        assert "the same command goes on from it" in cut.stderr
        assert 0.25 * size < relay.to_board < 0.4 * size
        relay.refuse, relay.rate = False, None
        done = invoke(board, BOARD, str(model), *QUICK, "--json", port=relay.port)
        assert done.returncode == 0, done.stderr
        assert relay.to_board < 1.1 * size
        sent = json.loads(done.stdout)["remote"]["uploaded"]["sent_bytes"]
        assert sent < 0.8 * size
    assert not (board.place / "models" / model.name).exists()


def test_remote_connection_cut_in_the_upload_and_in_the_run_needs_no_second_command(
    board: SshBoard, folder: Path, tmp_path: Path
) -> None:
    model = large_model(folder, tmp_path)
    with Relay(board.port, rate=2e6, cut_after=4_000_000) as relay:
        board.trust(relay.port)
        with started(board, BOARD, str(model), *LONG, "--json", port=relay.port) as process:
            seen = wait_for_line(process, "connecting again")
            assert "B/s, " in seen
            relay.refuse, relay.rate = False, None
            wait_for_line(process, f" of {LONG[-1]}")
            relay.cut()
            out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    result = json.loads(out)
    assert result["remote"]["reconnects"] == 2
    assert len(result["tests"][0]["repetitions"]) == int(LONG[-1])
    assert not (board.place / "models" / model.name).exists()


def test_remote_killed_command_is_resumed(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    command = (BOARD, str(folder), *LONG)
    before = kept(board)
    with started(board, *command) as process:
        wait_for_line(process, f" 1 of {LONG[-1]}")
        with suspended(board):  # so that it cannot end meanwhile
            process.kill()
            process.wait()
            busy = invoke(board, *command)
        assert busy.returncode == 1
        assert "its run goes on there: attach to it with --resume" in busy.stderr
        out = tmp_path / "resumed.json"
        done = invoke(board, *command, "--resume", "-o", str(out))
    assert done.returncode == 0, done.stderr
    result = load_result(out)
    assert len(result.tests[0].repetitions) == int(LONG[-1])
    assert result.remote is not None
    assert result.remote.attached is True
    assert kept(board) == before
    again = invoke(board, *command, "--resume")
    assert again.returncode == 1
    assert "there is no run to attach to" in again.stderr


def test_remote_ctrl_c_ends_the_run_and_leaves_the_board_clean(board: SshBoard, folder: Path) -> None:
    before = kept(board)
    with started(board, BOARD, str(folder), "-p", "16", "-n", "0", "-r", "100000") as process:
        wait_for_line(process, " 1 of 100000")
        interrupt(process)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert kept(board) == before
    assert not [found for found in board.processes() if "lpc-bench" in " ".join(found.cmdline())]


def test_remote_ctrl_c_while_uploading_leaves_the_board_clean(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    before = kept(board)
    model = large_model(folder, tmp_path)
    with Relay(board.port, rate=4e6) as relay:
        board.trust(relay.port)
        with started(board, BOARD, str(model), *SMALL, port=relay.port) as process:
            wait_for_line(process, " left")
            relay.rate = None
            interrupt(process)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert kept(board) == before


def test_remote_board_restarted_during_the_run_is_said(board: SshBoard, folder: Path) -> None:
    before = kept(board)
    with started(board, BOARD, str(folder), "-p", "16", "-n", "0", "-r", "100000") as process:
        wait_for_line(process, " 1 of 100000")
        board.stop()
        for found in board.processes():
            found.kill()
        for file in board.place.glob("jobs/*/started"):  # another boot has another id
            file.write_text(json.dumps({**json.loads(file.read_text()), "boot": "another"}), encoding="ascii")
        board.start()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the run did not end by itself: the board was restarted while it ran; start it again" in errors
    assert kept(board) == before


def test_remote_run_that_fails_says_why(board: SshBoard, folder: Path) -> None:
    before = kept(board)
    done = invoke(board, BOARD, str(folder), "-p", "16", "-n", "0", "--load", "nonsense=1")
    assert done.returncode == 1
    assert "--load nonsense: unknown" in done.stderr
    assert kept(board) == before


def test_remote_boards_side_by_side_give_one_table(
    board: SshBoard, folder: Path, tmp_path: Path, wheel_folder: Path, first_run: FirstRun
) -> None:
    with SshBoard(tmp_path / "other", wheel_folder) as other:
        first_run.deploy(other.home)
        shutil.copy(board.folder / "authorized_keys", other.folder)
        other.known_hosts = board.known_hosts
        other.trust(other.port)
        inventory = tmp_path / "boards.ini"
        inventory.write_text(
            f"[lab]\none ansible_host=127.0.0.1\ntwo ansible_host=127.0.0.1 ansible_port={other.port}\n"
            f"gone ansible_host=127.0.0.1 ansible_port=1\n[lab:vars]\nansible_user={USER}\n",
            encoding="ascii",
        )
        options = ("-p", "16", "-n", "0", "-r", "2", "-o", str(tmp_path / "results"))
        done = invoke(board, "--hosts", str(inventory), str(folder), *options)
    assert done.returncode == 1
    assert "lpc-bench: gone (127.0.0.1): refused" in done.stderr
    assert "one: done; " in done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["one", "two", "gone"]
    assert [row[4] for row in rows[:2]] == ["pp16", "pp16"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["one.json", "two.json"]


def test_remote_clean_ends_and_removes_everything(board: SshBoard, folder: Path) -> None:
    with started(board, BOARD, str(folder), "-p", "16", "-n", "0", "-r", "100000") as process:
        wait_for_line(process, " 1 of 100000")
        process.kill()
        process.wait()
    done = invoke(board, "--clean", BOARD)
    assert done.returncode == 0, done.stderr
    assert not board.base.exists()
    assert not [found for found in board.processes() if "lpc-bench" in " ".join(found.cmdline())]


def large_model(folder: Path, place: Path) -> Path:
    """A copy of the model with another file beside it that takes a while to send."""
    model = place / "large"
    model.mkdir()
    for path in folder.iterdir():
        os.link(path, model / path.name)
    (model / "extra.bin").write_bytes(os.urandom(LARGE_BYTES))
    return model
