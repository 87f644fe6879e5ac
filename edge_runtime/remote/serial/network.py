"""Finding and making a network connection to a board through its console."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from edge_runtime.errors import RemoteError
from edge_runtime.remote.serial.console import Output

Kind = Literal["wired", "wireless", "usb", "other"]

USB_ADDRESS = "192.168.55.1"
"""A Jetson's own address on its USB network; the workstation gets 192.168.55.100 from it."""

_ORDER: tuple[Kind, ...] = ("wired", "wireless", "other", "usb")
_INTERNAL = re.compile(r"lo|docker\d*|br-.*|veth.*|virbr.*|cni.*|flannel.*|dummy.*|tun\d*|zt.*")
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("usb", re.compile(r"usb\d+|l4tbr0|rndis\d+")),
    ("wired", re.compile(r"eth\d+|en[opsxP].*|end\d+|lan\d+|mgbe.*|eqos.*")),
    ("wireless", re.compile(r"wl.*")),
)
_IP_LINE = re.compile(r"^\d+:\s+(\S+?)(?:@\S+)?\s+inet6?\s+([0-9a-fA-F.:]+)/\d+", re.MULTILINE)
_LIST = "ip -o addr show up scope global 2>/dev/null || /sbin/ip -o addr show up scope global"
_HOW_JETSON = (
    "a Jetson makes a USB network by itself while its USB device port (Orin Nano, NX, AGX: the USB-C one) is connected "
    f"and nv-l4t-usb-device-mode runs: sudo systemctl enable --now nv-l4t-usb-device-mode; then ssh {USB_ADDRESS}"
)
_HOW_PI = (
    "on a Raspberry Pi (4, 5: the USB-C port) add 'dtoverlay=dwc2' to config.txt and 'modules-load=dwc2,g_ether' "
    "behind rootwait in cmdline.txt (/boot/firmware, older systems /boot), and reboot; usb0 is then the network"
)
_HOW_OTHER = (
    "this kernel shows no USB device port under /sys/class/udc, so it can only be a USB host: use Ethernet or Wi-Fi "
    "(nmcli device wifi connect NAME --ask), or switch the port's dr_mode to peripheral or otg in the device tree"
)


class Shell(Protocol):
    """What runs commands on the board."""

    def run(self, command: str, timeout_s: float | None = None) -> Output:
        """Run one command."""


@dataclass(frozen=True)
class Address:
    """An address of the board: interface, IP address, kind of link."""

    interface: str
    address: str
    kind: Kind


def parse_addresses(text: str) -> list[Address]:
    """Return the addresses in the output of `ip -o addr`, the one to try first in front; inner bridges are left out."""
    found = [
        Address(name, address, next((kind for kind, pattern in _KINDS if pattern.fullmatch(name)), "other"))
        for name, address in _IP_LINE.findall(text)
        if not _INTERNAL.fullmatch(name)
    ]
    return sorted(found, key=lambda item: (_ORDER.index(item.kind), ":" in item.address))


def addresses(shell: Shell) -> list[Address]:
    """Return the board's addresses; raises RemoteError, with what to do, if it has none."""
    output = shell.run(_LIST)
    found = parse_addresses(output.text)
    if not found and output.status != 0:
        words = shell.run("hostname -I").text.split()
        found = [Address("?", word, "other") for word in words]
    if not found:
        raise RemoteError(
            "the board has no network address: connect a cable, join a Wi-Fi, or use `lpc-board console usb-network`"
        )
    return found


def usb_network(shell: Shell) -> str:
    """Set up the network over the board's USB device port, and return its address there.

    Raises RemoteError, saying what to do by hand, where the board cannot do it or the user may not.
    """
    existing = [item for item in parse_addresses(shell.run(_LIST).text) if item.kind == "usb"]
    if existing:
        return existing[0].address
    if shell.run("systemctl cat nv-l4t-usb-device-mode >/dev/null 2>&1").status == 0:
        started = shell.run("sudo -n systemctl start nv-l4t-usb-device-mode", 30)
        if started.status == 0:
            return USB_ADDRESS
        raise RemoteError(f"the USB network service cannot be started ({started.text.strip()}): {_HOW_JETSON}")
    if shell.run("ls /sys/class/udc/* >/dev/null 2>&1").status != 0:
        pi = shell.run("grep -qa 'Raspberry Pi' /proc/device-tree/model").status == 0
        raise RemoteError(f"no USB network can be set up now: {_HOW_PI if pi else _HOW_OTHER}")
    made = shell.run(
        f"sudo -n sh -c 'modprobe g_ether && ip addr add {USB_ADDRESS}/24 dev usb0 && ip link set usb0 up'", 30
    )
    if made.status != 0:
        raise RemoteError(
            f"the USB network cannot be set up ({made.text.strip()}); by hand, as root on the board: modprobe g_ether; "
            f"ip addr add {USB_ADDRESS}/24 dev usb0; ip link set usb0 up"
        )
    return USB_ADDRESS
