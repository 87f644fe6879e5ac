"""Serial ports of this machine, and a guess which board is behind each."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.errors import RemoteError

# (vendor id, product id or None for all others of the vendor) -> what it is. Ids: usb.ids, and the makers' own guides.
_KNOWN: dict[tuple[int, int | None], str] = {
    (0x0955, 0x7020): "a running Jetson, through its own USB device port (L4T)",
    (0x0955, 0x7045): "Jetson AGX Orin developer kit, debug port: the console is the first of its ports",
    (0x0955, None): "an NVIDIA board",
    (0x0403, 0x6011): "FTDI with four ports: on a Jetson AGX Xavier the console is the fourth (ttyUSB3)",
    (0x0403, None): "FTDI USB-UART adapter: any board",
    (0x10C4, 0xEA60): "CP210x USB-UART adapter: any board",
    (0x1A86, None): "CH34x USB-UART adapter: any board (some CH340 cannot do 1500000 baud)",
    (0x067B, None): "PL2303 USB-UART adapter: any board (old ones cannot do 1500000 baud)",
    (0x2E8A, 0x000C): "Raspberry Pi debug probe: a Raspberry Pi 5 on its debug connector, most likely",
    (0x0525, 0xA4A7): "a Linux board through its own USB device port (serial gadget)",
    (0x1D6B, 0x0104): "a Linux board through its own USB device port (composite gadget)",
}


@dataclass(frozen=True)
class Port:
    """A serial port: device path, what the system calls it, which board it may lead to (None: nothing is known)."""

    device: str
    description: str
    guess: str | None


def guess(vendor: int | None, product: int | None) -> str | None:
    """Return which board a USB device with these ids may lead to; None if they are not known."""
    if vendor is None:
        return None
    return _KNOWN.get((vendor, product)) or _KNOWN.get((vendor, None))


def list_ports() -> list[Port]:
    """Return the serial ports with hardware behind them, in order of name; raises RemoteError without pyserial."""
    try:
        from serial.tools import list_ports as found
    except ImportError as error:
        raise RemoteError(
            f'pyserial is missing ({error}); install it: pip install "lpc-edge-runtime[board]"'
        ) from error
    ports = [port for port in found.comports() if port.vid is not None or port.hwid not in (None, "", "n/a")]
    return sorted(
        (Port(port.device, port.description or "", guess(port.vid, port.pid)) for port in ports),
        key=lambda port: port.device,
    )
