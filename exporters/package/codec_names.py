"""What `--codec` and `--objective` may say: texts alone, so that `--help` loads no library."""

from __future__ import annotations

AUTO, STORED = "auto", "stored"
PLAIN_BITMAP = "bitmap:stored"
CODECS = (AUTO, STORED, "lz4", "ans", "packed", "bitmap", PLAIN_BITMAP)
BITMAP_LAYOUTS = ("stored", "ans")  # those of packed come from edge_runtime.codec
SIZE, BUS, COMPUTE = "size", "bus", "compute"

# What `auto` tries for what is scarce; the smallest wins.
OBJECTIVES = {
    SIZE: ("lz4", "packed", "ans", "bitmap"),  # storage: whatever is smallest
    BUS: ("lz4", PLAIN_BITMAP),  # fast storage, few cores: what decodes as fast as it is read
    COMPUTE: ("packed", PLAIN_BITMAP),  # memory bandwidth: what products are computed from
}
