"""`lpc-bench remote` when something is wrong: one clear line, exit code 1, nothing left on the board."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_models import ExportModel
from serial_board import PASSWORD, SHELL, SerialBoard
from ssh_board import BOARD, QUICK, SSHD, USER, Done, FirstRun, SshBoard, invoke, make_key
from telemetry_lines import LINES

TOOLS = (
    "sh",
    "bash",
    "uname",
    "date",
    "df",
    "awk",
    "cat",
    "tr",
    "head",
    "base64",
    "grep",
    "mkdir",
    "mv",
    "rm",
    "rmdir",
)

pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd: apt-get install openssh-server")


@pytest.fixture(scope="module")
def folder(export_model: ExportModel) -> Path:
    return export_model("demo_model", "lz4")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, wheel_folder: Path) -> Iterator[SshBoard]:
    """A board whose PATH begins with an empty folder, `bin`, for tests to put things into."""
    place = tmp_path_factory.mktemp("board")
    (place / "bin").mkdir()
    python = Path(shutil.which("python3") or "python3")
    with SshBoard(
        place, wheel_folder, path=f"{place}/bin:{os.path.dirname(os.sys.executable)}:{python.parent}:/usr/bin:/bin"
    ) as found:
        yield found


@pytest.fixture(autouse=True)
def clean(board: SshBoard) -> Iterator[None]:
    """After every test the board is as it was before."""
    yield
    for tool in (board.folder / "bin").iterdir():
        tool.unlink()
    assert not board.base.exists()
    assert not [found for found in board.processes() if "lpc-bench" in " ".join(found.cmdline())]


def tool(board: SshBoard, name: str, script: str) -> None:
    """Put a program of this name in front of the board's own."""
    file = board.folder / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)


def refused(result: Done, message: str) -> None:
    assert result.returncode == 1, result.stderr
    assert message in result.stderr
    assert result.stdout == ""
    assert "sending" not in result.stderr


def test_remote_port_without_a_server_is_refused(board: SshBoard, folder: Path) -> None:
    refused(invoke(board, BOARD, str(folder), port=1), "no SSH server on that port")


def test_remote_silent_host_times_out(board: SshBoard, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = invoke(board, BOARD, str(folder), "--timeout", "1", port=silent.getsockname()[1])
    refused(result, "no answer within 1 s: is the board on")


def test_remote_unknown_name_says_how_to_find_it(board: SshBoard, folder: Path) -> None:
    refused(invoke(board, "board.invalid", str(folder)), "no such host")


def test_remote_key_that_the_board_does_not_know_is_refused(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    result = invoke(board, BOARD, str(folder), "--identity", str(tmp_path / "other"))
    refused(result, f"login refused for {USER}: no key was accepted")


def test_remote_key_file_that_is_none_is_refused(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a key", encoding="ascii")
    refused(invoke(board, BOARD, str(folder), "--identity", str(tmp_path / "text")), "is not a private key")
    refused(invoke(board, BOARD, str(folder), "--identity", str(tmp_path / "no")), "does not exist")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "sesame", "-f", str(tmp_path / "locked")], check=True)
    refused(invoke(board, BOARD, str(folder), "--identity", str(tmp_path / "locked")), "has a passphrase")


def test_remote_host_key_unknown_is_refused_then_accepted_then_changed_is_refused(
    board: SshBoard, folder: Path, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    options = (BOARD, str(folder), "--known-hosts", str(known))
    refused(invoke(board, *options), "the host key is not known: ssh-ed25519 SHA256:")
    assert not known.exists()
    tool(board, "uname", "echo s390x")  # far enough: the connection stood
    refused(invoke(board, *options, "--accept-new"), "the board is s390x")
    written = known.read_text(encoding="ascii")
    assert written.startswith(f"[127.0.0.1]:{board.port} ssh-ed25519 ")
    refused(invoke(board, *options), "the board is s390x")
    other = f"[127.0.0.1]:{board.port} {(board.folder / 'user_key.pub').read_text(encoding='ascii')}"
    known.write_text(other, encoding="ascii")
    refused(invoke(board, *options, "--accept-new"), "THE HOST KEY HAS CHANGED")
    assert known.read_text(encoding="ascii") == other


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("riscv64", "the board is riscv64; expected one of aarch64, x86_64"),
        ("armv7l", "a 64-bit system must be installed"),
        ("aarch64" if os.uname().machine == "x86_64" else "x86_64", "no wheel of ours for"),
    ],
)
def test_remote_wrong_architecture_is_refused(board: SshBoard, folder: Path, machine: str, message: str) -> None:
    tool(board, "uname", f"echo {machine}")
    refused(invoke(board, BOARD, str(folder)), message)


def test_remote_wheel_for_another_machine_is_refused(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "lpc_edge_runtime-0.1.0-py3-none-manylinux_2_35_ppc64le.whl"
    wheel.touch()
    refused(invoke(board, BOARD, str(folder), "--wheel", str(wheel)), f"is not for {os.uname().machine}")


def test_remote_board_without_python_or_with_an_old_one_is_refused(
    folder: Path, tmp_path: Path, wheel_folder: Path
) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    for name in TOOLS:
        (place / name).symlink_to(str(shutil.which(name)))
    with SshBoard(tmp_path / "bare", wheel_folder, path=str(place)) as bare:
        refused(invoke(bare, BOARD, str(folder)), "no Python 3.10 or newer there (seen: none at all)")
        (place / "python3").write_text("#!/bin/sh\necho lpc-bench 3.8.10 venv - glibc 2.31\n", encoding="ascii")
        (place / "python3").chmod(0o755)
        refused(invoke(bare, BOARD, str(folder)), "(seen: python3 3.8.10)")
        (place / "python3").write_text("#!/bin/sh\necho lpc-bench 3.10.12 venv - glibc 2.31\n", encoding="ascii")
        refused(invoke(bare, BOARD, str(folder)), "it has glibc 2.31; the wheels need 2.35")
        (place / "python3").write_text("#!/bin/sh\necho lpc-bench 3.12.1 venv -\n", encoding="ascii")
        refused(invoke(bare, BOARD, str(folder)), "its C library is unknown")
        assert not bare.base.exists()


def test_remote_board_without_venv_says_what_to_install(board: SshBoard, folder: Path) -> None:
    real = Path(os.sys.executable)
    tool(board, "python3", f'[ $# = 2 ] && exec echo lpc-bench 3.12.1 - - glibc 2.39\nexec {real} "$@"')
    result = invoke(board, BOARD, str(folder), "--packages", "index")
    refused(result, "has no venv there: sudo apt-get install python3-venv")


def test_remote_python_that_is_not_there_is_refused(board: SshBoard, folder: Path) -> None:
    refused(invoke(board, BOARD, str(folder), "--python", "/opt/python9"), "no Python 3.10 or newer there")


def test_remote_too_little_disk_is_refused_before_uploading(board: SshBoard, folder: Path) -> None:
    tool(board, "df", "printf 'Filesystem 1024-blocks Used Available\\n/dev/x 99 99 20000 99%% /\\n'")
    refused(invoke(board, BOARD, str(folder)), "too little disk: ")


def test_remote_disk_that_fills_up_is_said_and_left_clean(
    folder: Path, tmp_path: Path, wheel_folder: Path, first_run: FirstRun
) -> None:
    home = tmp_path / "small"
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(home)], check=False, stderr=-3)
    if mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    (tmp_path / "bin").mkdir()
    path = f"{tmp_path}/bin:{os.path.dirname(os.sys.executable)}:/usr/bin:/bin"
    try:
        with SshBoard(tmp_path / "full", wheel_folder, path=path, home=home) as full:
            tool_of = tmp_path / "bin/df"  # claims more than there is, as a disk does that others fill meanwhile
            tool_of.write_text("#!/bin/sh\nprintf 'a b c d\\n/dev/x 9 9 99000000 9%% /\\n'\n", encoding="ascii")
            tool_of.chmod(0o755)
            model = tmp_path / "large"
            shutil.copytree(folder, model)
            (model / "extra.bin").write_bytes(bytes(26_000_000))
            first_run.deploy(home)
            before = sorted(full.place.rglob("*"))
            result = invoke(full, BOARD, str(model), *QUICK)
            assert result.returncode == 1
            assert "No space left on device: free some space there" in result.stderr
            assert "sending" in result.stderr
            assert sorted(full.place.rglob("*")) == before
    finally:
        subprocess.run(["umount", str(home)], check=True)


@pytest.mark.parametrize(
    ("budget", "message"),
    [("900GiB", "of memory free; ask for less"), ("1MiB", "too little memory: impossible: needs at least")],
)
def test_remote_too_little_memory_is_refused_before_uploading(
    board: SshBoard, folder: Path, budget: str, message: str
) -> None:
    refused(invoke(board, BOARD, str(folder), "--memory-budget", budget), message)


def test_remote_wrong_clock_and_garbage_telemetry_lines_are_said_and_survived(
    board: SshBoard, folder: Path, first_run: FirstRun
) -> None:
    first_run.deploy(board.home)
    tool(board, "date", "echo $(($(/usr/bin/date +%s) - 86400))")
    lines = f"printf '\\377garbage 12 RAM\\n\\n'; echo '{LINES['orin-nano-r39']}'"
    tool(board, "tegrastats", f"while :; do {lines}; sleep 0.05; done")
    result = invoke(board, BOARD, str(folder), *QUICK, "-p", "256", "-r", "5", "--json")
    shutil.rmtree(board.base)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    said = re.compile(r"the board's clock is 86\d\d\d s behind: .*timedatectl")
    assert any(said.search(warning) for warning in found["warnings"])
    assert found["remote"]["before"]["clock_skew_s"] == pytest.approx(-86400, abs=5)
    assert found["created"] > found["remote"]["created_there"]
    assert found["telemetry"]["power"]["basis"] == "rail VDD_IN"
    assert {sample["power_w"] for sample in found["telemetry"]["samples"]} == {9.761}
    assert any("lines of tegrastats could not be read" in warning for warning in found["warnings"])


def test_remote_host_is_found_over_the_serial_console(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "serial"
    place.mkdir()
    (place / "ip").write_text("#!/bin/sh\necho '2: eth0    inet 127.0.0.1/24 scope global eth0'\n", encoding="ascii")
    (place / "ip").chmod(0o755)
    tool(board, "uname", "echo s390x")
    with SerialBoard(SHELL, path=f"{place}:{os.environ['PATH']}") as serial:
        result = invoke(board, "--serial", serial.device, "--user", USER, str(folder))
    refused(result, "127.0.0.1: the board is s390x")
    assert PASSWORD not in result.stderr


def test_remote_jump_host_is_used(board: SshBoard, folder: Path, wheel_folder: Path, tmp_path: Path) -> None:
    tool(board, "uname", "echo s390x")
    with SshBoard(tmp_path, wheel_folder) as gate:
        shutil.copy(board.folder / "authorized_keys", gate.folder)
        with gate.known_hosts.open("a", encoding="ascii") as known:
            known.write(board.known_hosts.read_text(encoding="ascii"))
        jump = f"{USER}@127.0.0.1:{gate.port}"
        result = invoke(board, BOARD, str(folder), "--jump", jump, "--known-hosts", str(gate.known_hosts))
        refused(result, "the board is s390x")
        log = (gate.folder / "sshd.log").read_text(encoding="utf-8")
        assert log.count("Accepted publickey") == 1


def test_remote_jump_of_an_inventory_is_used(board: SshBoard, folder: Path, wheel_folder: Path, tmp_path: Path) -> None:
    tool(board, "uname", "echo s390x")
    with SshBoard(tmp_path, wheel_folder) as gate:
        shutil.copy(board.folder / "authorized_keys", gate.folder)
        with gate.known_hosts.open("a", encoding="ascii") as known:
            known.write(board.known_hosts.read_text(encoding="ascii"))
        inventory = tmp_path / "boards.ini"
        inventory.write_text(
            f"[lab]\nfar ansible_host=127.0.0.1 ansible_port={board.port} ansible_user={USER} "
            f"ansible_ssh_private_key_file={board.identity}\n[lab:vars]\n"
            f"ansible_ssh_common_args='-o ProxyJump={USER}@127.0.0.1:{gate.port}'\n",
            encoding="ascii",
        )
        result = invoke(
            board, "--hosts", str(inventory), str(folder), "--known-hosts", str(gate.known_hosts), port=gate.port
        )
        refused(result, "far: the board is s390x")
        assert (gate.folder / "sshd.log").read_text(encoding="utf-8").count("Accepted publickey") == 1


def test_remote_names_keys_and_jumps_come_from_the_ssh_configuration(
    board: SshBoard, folder: Path, wheel_folder: Path, tmp_path: Path
) -> None:
    tool(board, "uname", "echo s390x")
    with SshBoard(tmp_path, wheel_folder) as gate:
        shutil.copy(board.folder / "authorized_keys", gate.folder)
        with gate.known_hosts.open("a", encoding="ascii") as known:
            known.write(board.known_hosts.read_text(encoding="ascii"))
        config = tmp_path / "config"
        config.write_text(
            f"Host orin\n  HostName 127.0.0.1\n  Port {board.port}\n  ProxyJump gate\n"
            f"Host gate\n  HostName 127.0.0.1\n  Port {gate.port}\n"
            f"Host *\n  User {USER}\n  IdentityFile {board.identity}\n",
            encoding="ascii",
        )
        options = ("--ssh-config", str(config), "--known-hosts", str(gate.known_hosts), "--wheel", str(wheel_folder))
        refused(invoke(board, "orin", str(folder), options=options), "orin: the board is s390x")
        assert (gate.folder / "sshd.log").read_text(encoding="utf-8").count("Accepted publickey") == 1
        gate.known_hosts.write_text(board.known_hosts.read_text(encoding="ascii"), encoding="ascii")
        refused(invoke(board, "orin", str(folder), options=options), "gate: the host key is not known")
        config.write_text("Host *\n  ProxyJump gate\n", encoding="ascii")
        refused(invoke(board, "orin", str(folder), options=options), "gate: is reached through itself")


def test_remote_key_of_the_agent_is_used(
    board: SshBoard, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(board, "uname", "echo s390x")
    monkeypatch.setenv("HOME", str(tmp_path))  # no keys of whoever runs the tests
    socket_file = tmp_path / "agent"
    options = board.options()
    at = options.index("--identity")
    del options[at : at + 2]
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket_file)], stdout=subprocess.DEVNULL)
    try:
        while not socket_file.exists():
            assert agent.poll() is None
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_file))
        refused(invoke(board, BOARD, str(folder), options=options), "no key was accepted")
        subprocess.run(["ssh-add", "-q", str(board.identity)], check=True)
        refused(invoke(board, BOARD, str(folder), options=options), "the board is s390x")
    finally:
        agent.terminate()
        agent.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the board and the model"),
        (("MODEL",), "no board is named"),
        (("u@h", "MODEL", "-o", "no/such/x.json"), "does not exist"),
        (("--group", "g", "u@h", "MODEL"), "--group needs --hosts"),
        (("MODEL", "u@h"), "looks like a board"),
        (("--clean", "--resume", "u@h"), "exclude each other"),
        (("u@h", "MODEL", "-p", "many"), "is not a list of whole numbers"),
    ],
)
def test_remote_wrong_usage_exits_2(board: SshBoard, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = invoke(board, *(str(folder) if word == "MODEL" else word for word in arguments))
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


def test_remote_model_that_is_none_or_profile_unknown_is_refused(board: SshBoard, folder: Path, tmp_path: Path) -> None:
    refused(invoke(board, BOARD, str(tmp_path)), "has no lpc.json")
    refused(invoke(board, BOARD, str(folder), "--profile", "no-such-board"), "no-such-board")
