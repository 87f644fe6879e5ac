"""What a profile may say: one line a field. docs/boards.md has the same table with explanations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("vendor", "measured", "derived")
VERSION = 1

SIZES = {
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9,
}  # fmt: skip
"""Units of memory, in bytes."""

STORAGE = ("nvme", "sata", "emmc", "sd", "usb3", "ufs", "disk")
"""Kinds of storage, `[storage.KIND]`; "disk" is whatever holds the file that was measured."""

PROPERTIES: Mapping[str, type] = {
    "unit": str, "kind": str, "source": str, "note": str,
    "threads": int, "method": str, "codec": str, "block_bytes": int, "queue_depth": int, "direct": bool,
    "default": bool, "jetpack_major": int,
}  # fmt: skip
"""What a figure may say beside its value."""


@dataclass(frozen=True)
class Field:
    """A field's type (number, text or flag), its units if a number, and what it must say beside unit, kind, source.

    `many` fields are lists of figures; `list_value` ones may have a list as value (memory sizes on sale, instruction
    sets); `integer` ones are counts.
    """

    type: str
    units: tuple[str, ...] = ()
    many: bool = False
    list_value: bool = False
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = field(default=())
    integer: bool = False


def _number(*units: str, **more: Any) -> Field:
    return Field("number", units, **more)


_TEXT, _TEXTS = Field("text"), Field("text", many=True)
_LIST = Field("text", list_value=True)
_SPEED = _number("GB/s", many=True, required=("threads",), optional=("method",))
_MEMORY = _number(*SIZES, many=True, optional=("method",))

FIELDS: Mapping[str, Field] = {
    "memory.type": _TEXT,
    "memory.capacity": _number("GB", list_value=True),
    "memory.bus_width": _number("bit", integer=True),
    "memory.bandwidth": _number("GB/s"),
    "memory.unified": Field("flag"),
    "memory.total": _MEMORY,
    "memory.available": _MEMORY,
    "memory.cpu_read": _SPEED,
    "memory.cpu_copy": _SPEED,
    "memory.cpu_fill": _SPEED,
    "memory.gpu_read": _number("GB/s", many=True, optional=("method",)),
    "cpu.model": _TEXT,
    "cpu.cores": _number("cores", integer=True),
    "cpu.clock": _number("MHz"),
    "cpu.isa": _LIST,
    "cpu.isa_absent": _LIST,
    "cpu.l2": _TEXT,
    "cpu.l3": _TEXT,
    "gpu.arch": _TEXT,
    "gpu.cuda_cores": _number("cores", integer=True),
    "gpu.multiprocessors": _number("SM", integer=True),
    "gpu.compute_capability": _TEXT,
    "gpu.clock": _number("MHz"),
    "power.minimum": _number("W"),
    "power.maximum": _number("W"),
    "power.idle": _number("W"),
    "power.stress": _number("W"),
    "power.hpl": _number("W"),
    "power.modes": Field("text", many=True, optional=("default",)),
    "network.link": _TEXT,
    "hostname.default": _TEXT,
    "onnxruntime.cpu": _TEXT,
    "onnxruntime.gpu": Field("text", many=True, optional=("jetpack_major",)),
    "serial.tty": _TEXT,
    "serial.baud": _number("baud", integer=True),
    "serial.pins": _TEXT,
    "serial.host_tty": _TEXT,
    "serial.user_uart": _TEXT,
    "serial.remark": _TEXT,
    "usb_network.address": _TEXT,
    "usb_network.tty": _TEXT,
    "telemetry.power_driver": _TEXT,
    "telemetry.power_path": _TEXT,
    "telemetry.power_units": _TEXT,
    "telemetry.power_rails": _LIST,
    "telemetry.power_nodes": _TEXT,
    "telemetry.thermal_path": _TEXT,
    "telemetry.thermal_zones": _LIST,
    "telemetry.vcgencmd": _LIST,
    "telemetry.throttled_bits": _LIST,
    "software.jetpack": _TEXT,
    "software.os": _TEXT,
    "software.ubuntu": _TEXT,
    "software.python": _TEXT,
    "software.cuda": _TEXT,
    "software.glibc": _TEXT,
    "decode.rates": _number("GB/s", many=True, required=("codec", "threads"), optional=("method",)),
    **{
        f"storage.{kind}.{name}": of
        for kind in STORAGE
        for name, of in {
            "bus": _TEXT,
            "negotiated": _TEXT,
            "bandwidth": _number("GB/s"),
            "read": _number("GB/s", many=True, optional=("block_bytes", "queue_depth", "direct", "method")),
        }.items()
    },
}

MATCH_KEYS = ("module", "model", "similar", "compatible", "dmi", "cpu", "machine")
"""How a board is recognised, `[match]`: lists of strings, see boards/detect.py."""
