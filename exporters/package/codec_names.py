"""What `--codec` and `--objective` may say: names alone, so that `--help` loads no numpy."""

from __future__ import annotations

from edge_runtime import facts

AUTO, STORED = "auto", "stored"
PLAIN_BITMAP = "bitmap:stored"
SIZE, BUS, COMPUTE = "size", "bus", "compute"

OBJECTIVES = (SIZE, BUS, COMPUTE)
_CANDIDATES = {
    BUS: ("lz4", PLAIN_BITMAP),  # fast storage, few cores: what decodes as fast as it is read
    COMPUTE: ("packed", PLAIN_BITMAP),  # memory bandwidth: what products are computed from
}


def codecs() -> tuple[str, ...]:
    """The names of all codecs, AUTO first."""
    return (AUTO, *facts.codecs())


def candidates(objective: str) -> tuple[str, ...]:
    """What AUTO tries for what is scarce, and the smallest wins: for storage whatever there is."""
    return _CANDIDATES.get(objective) or tuple(name for name in facts.codecs() if name != STORED)


def usual_choices() -> tuple[str, ...]:
    """What the help offers: codecs, and the layouts that are more than another size."""
    return (AUTO, *facts.codec_choices())


def layouts(codec: str) -> tuple[str, ...]:
    """The layouts that a codec can be told, or packed where "auto" chooses it."""
    return tuple(facts.packed_layouts() if codec == AUTO else facts.codecs()[codec].layouts)
