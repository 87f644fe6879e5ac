"""A board on the other end of a serial line: a login and a shell behind a real pty pair, at a baud rate of its own.

The client's end is an ordinary tty device. What crosses the line at a rate other than the board's is what a UART would
make of it: the sender's waveform sampled at the receiver's rate.
"""

from __future__ import annotations

import os
import select
import subprocess
import termios
import threading
import tty
from types import TracebackType

USER = "pilot"
PASSWORD = "not-a-secret"
LOGIN = r"""
while :; do
  printf '%s' "$ASKS_NAME"
  read -r user || exit
  [ -n "$user" ] || continue
  printf '%s' "$ASKS_PASSWORD"
  stty -echo; read -r word; stty echo; echo
  if [ "$user" = "$1" ] && [ "$word" = "$2" ]; then break; fi
  printf '\nLogin incorrect\n'
done
export PS1='\u@orin:\w\$ ' HISTFILE=
cd /
eval "$LOGIN_SHELL"
printf 'logout\n'
exec sh -c "$0" "$0" "$1" "$2"
"""
SHELL = r"export PS1='\u@orin:\w\$ ' HISTFILE=; cd /; exec bash --norc --noprofile -i"
TEXTS = {
    "ASKS_NAME": "orin-nano login: ",
    "ASKS_PASSWORD": "Password: ",
    "LOGIN_SHELL": "bash --norc --noprofile -i",
}
"""What LOGIN reads from its environment."""
UBOOT = r"""stty -echo; while :; do printf '=> '; read -r line || exit; echo; done"""
SPEEDS = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name[1:].isdigit() and name[0] == "B"}


class SerialBoard:
    """A context manager; `device` is the client's end. `texts` replace some of TEXTS; `typed` is what came."""

    def __init__(self, program: str = LOGIN, baud: int = 115200, *, path: str | None = None, **texts: str) -> None:
        self.baud = baud
        self.typed = b""
        self._line, line_client = os.openpty()
        self._console, console_shell = os.openpty()
        tty.setraw(line_client)
        self.device = os.ttyname(line_client)
        self._keep_open = line_client
        environment = {**os.environ, "TERM": "vt220", **TEXTS, **texts, **({"PATH": path} if path else {})}
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "-c", program, program, USER, PASSWORD],
            stdin=console_shell, stdout=console_shell, stderr=console_shell, env=environment,
        )  # fmt: skip
        os.close(console_shell)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def __enter__(self) -> SerialBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._stop_write, b"\0")
        self._thread.join()
        self._process.kill()
        self._process.wait()
        for descriptor in (self._line, self._console, self._keep_open, self._stop_read, self._stop_write):
            os.close(descriptor)

    def say(self, text: bytes) -> None:
        """Write on the line as the kernel does, beside the shell."""
        os.write(self._line, resampled(text, self.baud, self._client_baud()))

    def unplug(self) -> None:
        """End the relay and the shell: the line goes silent."""
        self._process.kill()

    def _client_baud(self) -> int:
        return SPEEDS[termios.tcgetattr(self._line)[5]]

    def _relay(self) -> None:
        while True:
            ready, _, _ = select.select([self._line, self._console, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            try:
                if self._line in ready:
                    data = os.read(self._line, 4096)
                    self.typed += data
                    os.write(self._console, resampled(data, self._client_baud(), self.baud))
                if self._console in ready:
                    self.say(os.read(self._console, 4096))
            except OSError:
                return


def resampled(data: bytes, sender: int, receiver: int) -> bytes:
    """What a receiver at one rate makes of 8N1 bytes sent back to back at another."""
    if sender == receiver:
        return data
    wave = [level for byte in data for level in (0, *(byte >> bit & 1 for bit in range(8)), 1)]
    received = bytearray()
    ratio = sender / receiver
    at = 0.0  # in bit times of the sender
    while (start := next((index for index in range(int(at), len(wave)) if wave[index] == 0), None)) is not None:
        at = max(at, float(start))
        bits = [wave[index] if (index := int(at + (bit + 1.5) * ratio)) < len(wave) else 1 for bit in range(8)]
        received.append(sum(level << bit for bit, level in enumerate(bits)))
        at += 9.5 * ratio
    return bytes(received)
