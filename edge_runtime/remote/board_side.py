"""What runs on the board before anything of ours is installed there: Python 3.10's standard library, nothing else.

Called over SSH as `python3 agent.py OPERATION JSON`; answers are JSON lines on stdout. Everything that it writes or
removes lies in the folder that it lies in itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BASE = Path(__file__).resolve().parent
BEAT_SECONDS = 2.0
POLL_SECONDS = 0.1
END_SECONDS = 5.0
CHUNKS_A_LINE = 64
COMPLETE = ".complete"


def say(**values: Any) -> None:
    """Write one answer; the client may be gone, which ends this process."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def inside(name: str) -> Path:
    """Return a path below the base folder; ValueError for one that leaves it."""
    path = (BASE / name).resolve()
    if path == BASE or BASE not in path.parents:
        raise ValueError(f"{name}: is not inside {BASE}")
    return path


# --- files


def digests(path: Path, chunk: int) -> Iterator[str]:
    """SHA-256 of each chunk of a file; nothing for a file that is not there."""
    if path.is_file():
        with path.open("rb") as stream:
            while piece := stream.read(chunk):
                yield hashlib.sha256(piece).hexdigest()


def do_hash(folder: str, files: list[str], chunk: int) -> None:
    """Tell the chunks of files that are there, a few at a time."""
    for name in files:
        found = digests(inside(f"{folder}/{name}"), chunk)
        while some := list(itertools.islice(found, CHUNKS_A_LINE)):
            say(file=name, chunks=some)


def do_receive(folder: str, files: dict[str, int]) -> None:
    """Take chunks from stdin, each checked before it is written, then cut every file to its size."""
    place = inside(folder)
    place.mkdir(parents=True, exist_ok=True)
    (place / COMPLETE).unlink(missing_ok=True)
    handles: dict[str, Any] = {}
    source = sys.stdin.buffer
    try:
        while line := source.readline():
            head = json.loads(line)
            if "end" in head:
                finish(place, files, handles)
                say(done=True)
                return
            data = source.read(head["size"])
            if len(data) < head["size"]:
                return  # the connection ended in the middle of a chunk: it is not written
            if hashlib.sha256(data).hexdigest() != head["sha256"]:
                raise ValueError(f"{head['file']}: the chunk at {head['offset']} was damaged on its way")
            handle = handles.get(head["file"]) or handles.setdefault(head["file"], opened(place / head["file"]))
            handle.seek(head["offset"])
            handle.write(data)
            handle.flush()
            say(stored=head["size"])
    finally:
        for handle in handles.values():
            handle.close()


def opened(path: Path) -> Any:
    """Open for writing without cutting what is there."""
    inside(str(path.relative_to(BASE)))
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


def finish(place: Path, files: dict[str, int], handles: dict[str, Any]) -> None:
    """Files of the stated size, on storage; others in the folder go."""
    for name, size in files.items():
        handle = handles.get(name) or handles.setdefault(name, opened(place / name))
        handle.truncate(size)
        handle.flush()
        os.fsync(handle.fileno())
    for path in place.iterdir():
        if path.name not in files:
            remove(path)
    (place / COMPLETE).touch()


def remove(path: Path) -> None:
    """Remove a file or a folder; one that is gone is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# --- the runtime


def do_install(folder: str, wheel: str, carried: str | None, shared: bool) -> None:
    """Make a virtual environment with our wheel. `carried`: a folder of wheels, and no index is asked.

    `shared`: packages of this Python may be used too (a vendor's onnxruntime); only what is missing is installed.
    """
    place = inside(folder)
    remove(place)
    options = ["--system-site-packages", "--without-pip"] if shared else []
    run([sys.executable, "-m", "venv", *options, str(place)], "making the virtual environment")
    python = str(place / "bin/python")
    if shared and sys.prefix != sys.base_prefix:  # a virtual environment itself: its packages are not the system's
        link_packages(place)
    pip = [
        python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "--no-cache-dir",
        "install",
        "--no-warn-script-location",
    ]
    source = ["--no-index", "--find-links", str(inside(carried))] if carried else ["--retries", "1", "--timeout", "10"]
    file = str(inside(wheel))
    if shared:
        run([*pip, "--no-deps", "--force-reinstall", file], "installing the wheel")
    run([*pip, *source, "--only-binary", ":all:", file], "installing the wheel and what it needs")
    (place / COMPLETE).touch()
    say(done=True)


def link_packages(place: Path) -> None:
    """Let the new environment find the packages of the one that this Python runs in."""
    here = [path for path in sys.path if path.startswith(sys.prefix) and path.endswith("-packages")]
    for packages in place.glob("lib/python*/site-packages"):
        (packages / "shared.pth").write_text("\n".join(here) + "\n", encoding="utf-8")


def run(command: list[str], what: str) -> None:
    """Run a command to its end, passing on what it says; ValueError with its last words if it fails."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        text=True, errors="replace",
    )  # fmt: skip
    lines: list[str] = []
    try:
        for line in process.stdout or ():
            lines = [*lines[-30:], line.strip()]
            say(log=line.strip())
    except BrokenPipeError:
        process.terminate()
        raise
    if process.wait():
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise ValueError(f"{what} failed (exit code {process.returncode}): {' '.join(errors)[-600:]}")


# --- the job


def do_start(job: str, command: list[str], path: str, made: list[str]) -> None:
    """Start a command that goes on whatever happens to the connection; its log and its result lie in the job's folder.

    `path` goes in front of $PATH; `made` is what whoever fetches the result removes from here afterwards.
    """
    running = [name for name in jobs() if alive(inside(name))]
    if running:
        say(error=f"{running[0]} is running on this board", kind="busy")
        return
    place = inside(job)
    remove(place)
    place.mkdir(parents=True)
    (place / "log").touch()
    write(place / "made", {"paths": made})
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            supervise(place, command, path)
        os._exit(0)
    os.wait()
    deadline = time.monotonic() + END_SECONDS
    while (started := read(place / "started")) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 10)
    if started is not None:  # read from here, because an emulator may show a process another start than it shows others
        write(place / "started", {**started, "start": start_time(started["pid"])})
    say(done=started is not None)


def supervise(place: Path, command: list[str], path: str) -> None:
    """The detached process: runs the command and writes down how it ended; it never returns."""
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(place / "log", os.O_WRONLY | os.O_APPEND)
    for source, target in ((null, 0), (null, 1), (log, 2)):
        os.dup2(source, target)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir(place)
    search = ":".join([path, os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"])
    write(place / "started", {"pid": os.getpid(), "start": None, "boot": boot_id()})
    try:
        process = subprocess.Popen(
            command, env={**os.environ, "PATH": search, "XDG_CACHE_HOME": str(place / "cache")}, restore_signals=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        code = process.wait()
    except OSError as error:
        os.write(2, f"{command[0]}: cannot be started ({error})\n".encode())
        code = 127
    write(place / "ended", {"code": code})
    os._exit(0)


def write(path: Path, values: dict[str, Any]) -> None:
    """Write a small JSON file so that a reader sees all of it or none."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values), encoding="utf-8")
    partial.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """Read such a file; None if it is not there."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values


def jobs() -> list[str]:
    """Names of the jobs that left something here, oldest first."""
    folders = sorted(BASE.glob("jobs/*/log"), key=lambda log: log.parent.stat().st_mtime)
    return [f"jobs/{log.parent.name}" for log in folders]


def boot_id() -> str:
    """What changes with every start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def start_time(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if there is no such process, or a dead one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def alive(place: Path) -> bool:
    """Whether the job's supervisor is still there."""
    started = read(place / "started")
    if started is None or started["boot"] != boot_id():
        return False
    now = start_time(started["pid"])
    return now is not None and started["start"] in (None, now)


def do_jobs() -> None:
    """Tell which jobs are here."""
    for name in jobs():
        place = inside(name)
        made = (read(place / "made") or {}).get("paths", [])
        say(job=name, alive=alive(place), ended=read(place / "ended") is not None, made=made)


def do_follow(job: str, offset: int) -> None:
    """Pass on the job's log from a byte on until the job has ended; `ended` or `lost` is the last answer."""
    place = inside(job)
    if not place.is_dir():
        say(lost="it is not on the board any more")
        return
    beat = time.monotonic()
    with (place / "log").open("rb") as log:
        log.seek(offset)
        while True:
            ended, living = read(place / "ended"), alive(place)
            text = log.read()
            if text or time.monotonic() - beat > BEAT_SECONDS:
                beat = time.monotonic()
                say(log=text.decode("utf-8", "replace"), offset=log.tell())
            if ended is not None:
                say(ended=ended["code"])
                return
            if not living and read(place / "ended") is None:
                started = read(place / "started") or {}
                rebooted = started.get("boot") not in (None, boot_id())
                say(lost="the board was restarted while it ran" if rebooted else "its process was killed on the board")
                return
            time.sleep(POLL_SECONDS)


def do_fetch(job: str) -> None:
    """Send the result file: its size and hash in a line, then its bytes."""
    file = inside(job) / "result.json"
    data = file.read_bytes() if file.exists() else b""
    say(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def do_stop(job: str) -> None:
    """End a job and everything that it started."""
    place = inside(job)
    started = read(place / "started")
    if started is not None and alive(place):
        group = os.getpgid(started["pid"])
        deadline = time.monotonic() + END_SECONDS
        os.killpg(group, signal.SIGINT)  # the supervisor ignores it, the benchmark ends its own processes
        while alive(place) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    say(done=True)


def do_clean(paths: list[str]) -> None:
    """Remove what is named, then every folder left empty, then this file if nothing else is left."""
    for name in paths:
        remove(inside(name))
    for folder in ("jobs", "models", "runtime", "wheels"):
        try:
            (BASE / folder).rmdir()
        except OSError:
            continue
    if [path.name for path in BASE.iterdir()] == [Path(__file__).name]:
        remove(BASE)
    say(done=True)


def do_list() -> None:
    """Tell what is here: models with the bytes that are there, and which models, runtimes and wheels are complete."""
    models = {f"models/{path.name}": sum(size(file) for file in path.iterdir()) for path in BASE.glob("models/*")}
    complete = [f"{path.parent.parent.name}/{path.parent.name}" for path in BASE.glob(f"*/*/{COMPLETE}")]
    say(models=models, complete=complete)


def size(path: Path) -> int:
    """Bytes of a file that lie on storage."""
    status = path.stat()
    return min(status.st_size, status.st_blocks * 512)


def main() -> None:
    """Carry out one operation; errors are an answer."""
    operation, arguments = sys.argv[1], json.loads(sys.argv[2])
    try:
        globals()[f"do_{operation}"](**arguments)
    except BrokenPipeError:
        os._exit(1)
    except OSError as error:
        say(error=f"{error.filename or BASE}: {error.strerror}", kind="full" if error.errno in (28, 122) else "system")
    except ValueError as error:
        say(error=str(error), kind="failed")


if __name__ == "__main__":
    main()
