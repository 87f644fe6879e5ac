"""Sizes as people write them, MemAvailable and control group limits, on files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_models import RunPython

from edge_runtime.errors import BoardError, BudgetError, ConfigError
from edge_runtime.facts import memory_figures
from edge_runtime.io import units
from edge_runtime.machine import memory

MEMINFO = "MemTotal:        7802844 kB\nMemFree:          312340 kB\nMemAvailable:    4023972 kB\nCached: 1 kB\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def limit_of(root: Path) -> tuple[int, str]:
    limit = memory.cgroup_limit(root)
    assert limit is not None
    return limit.limit, limit.file.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9223372036854775807", (1 << 63) - 1),
        ("4.5GiB", 4_831_838_208),
        ("700MB", 700_000_000),
        ("2g", 2_000_000_000),
        (" 512 MiB ", 536_870_912),
        ("1000", 1000),
        ("1kib", 1024),
        (".5GB", 500_000_000),
        ("1TiB", 1 << 40),
    ],
)
def test_parse_size_accepts_decimal_and_binary_units(text: str, expected: int) -> None:
    assert units.parse_size(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "GiB", "-1GB", "4.5 XB", "1e9", "nan", "inf", "4,5GB", "0", "0.1B", "1 2MB", "9" * 400, "9223372036854775808",
     "1e400", "9" * 30 + "TiB"],
)  # fmt: skip
def test_parse_size_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="size is"):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["1.5GB/s", "1.5gb", "1500MB/s", "1.5 GB/sec"])
def test_parse_rate_accepts_per_second(text: str) -> None:
    assert units.parse_rate(text) == 1.5e9


def test_available_without_groups_is_mem_available_not_mem_free(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n"})
    assert memory.available_bytes(root) == 4023972 * 1024
    assert memory.cgroup_limit(root) is None


def test_available_cgroup_v2_takes_the_tightest_group_above(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/run.scope\n",
            "sys/fs/cgroup/user.slice/memory.max": "700000000\n",
            "sys/fs/cgroup/user.slice/memory.current": "300000000\n",
            "sys/fs/cgroup/user.slice/memory.stat": "anon 5\ninactive_file 100000000\nactive_file 7\n",
            "sys/fs/cgroup/user.slice/run.scope/memory.max": "max\n",
        },
    )
    assert limit_of(root) == (700_000_000, "memory.max")
    assert memory.available_bytes(root) == 500_000_000  # limit - (in use - cache that can be dropped)


def test_available_cgroup_v1_reads_the_memory_controller(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/lpc"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/other\n4:memory:/lpc\n1:name=systemd:/x\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            f"{group}/memory.limit_in_bytes": "524288000\n",
            f"{group}/memory.usage_in_bytes": "200000000\n",
            f"{group}/memory.stat": "inactive_file 1\ntotal_inactive_file 50000000\n",
        },
    )
    assert limit_of(root) == (524_288_000, "memory.limit_in_bytes")
    assert memory.available_bytes(root) == 524_288_000 - 150_000_000


def test_available_cgroup_v2_high_limit_counts_as_well(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a"
    files = {"memory.max": "900000000", "memory.high": "600000000", "memory.current": "100000000"}
    root = write(tmp_path, {"proc/self/cgroup": "0::/a\n", **{f"{group}/{k}": v for k, v in files.items()}})
    assert limit_of(root) == (600_000_000, "memory.high")
    assert memory.available_bytes(root) == 500_000_000
    with pytest.raises(BudgetError, match=r"got 700000000 .* allows 600000000 .*memory\.high\): .* slowed down"):
        memory.require_within_group(700_000_000, root)


def test_available_cgroup_v1_group_above_that_a_container_hides_is_in_the_statistics(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/0123abcd\n",
            f"{group}/memory.limit_in_bytes": "9223372036854771712\n",
            f"{group}/memory.usage_in_bytes": "1000\n",
            f"{group}/memory.stat": "hierarchical_memory_limit 400000000\ntotal_inactive_file 0\n",
        },
    )
    assert limit_of(root) == (400_000_000, "memory.limit_in_bytes")


def test_budget_above_the_group_is_refused_with_both_numbers(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "500000000"})
    memory.require_within_group(500_000_000, root)
    with pytest.raises(BudgetError, match=r"got 500000001 bytes .* allows 500000000 .*a/memory\.max\): .* killed"):
        memory.require_within_group(500_000_001, root)


def test_available_group_path_of_the_host_in_a_container_uses_the_mounted_group(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/0123abcd\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
        },
    )
    assert limit_of(root) == (1_000_000_000, "memory.limit_in_bytes")


def test_available_group_in_excess_of_its_limit_leaves_nothing(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1000", "sys/fs/cgroup/a/memory.current": "2000"},
    )
    assert memory.available_bytes(root) == 0
    assert memory.default_budget(root) == 1


def test_available_without_mem_available_says_what_to_do(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/meminfo": "MemTotal: 4 kB\nMemFree: 4 kB\n"})
    with pytest.raises(BoardError, match=r"MemAvailable.*--memory-budget"):
        memory.available_bytes(root)


def test_default_budget_keeps_a_reserve(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n"})
    assert memory.default_budget(root) == 4023972 * 1024 - memory_figures().reserve_bytes


def test_available_of_this_machine_is_within_its_memory() -> None:
    assert 0 < memory.available_bytes() <= memory.meminfo(Path("/"), "MemTotal")


def test_default_budget_counts_the_limit_of_the_address_space(run_python: RunPython) -> None:
    code = """
import resource
from edge_runtime.machine import memory
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + (600 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
print(0 < memory.default_budget() <= 600 - 256 << 20)
"""
    assert run_python(code).stdout == "True\n"
