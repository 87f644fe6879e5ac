"""What the library says of itself: the lists agree with lpc.h, with the docs, and with what codecs do."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click
import codec_arrays
import pytest
from click.testing import CliRunner

from edge_runtime import codec, facts, native
from edge_runtime.bench.matrix import Matrix
from edge_runtime.cli.library_choice import LibraryChoice
from edge_runtime.errors import CodecError
from edge_runtime.provider import SessionStats

ROOT = Path(__file__).parents[1]
HEADER = (ROOT / "native" / "include" / "lpc" / "lpc.h").read_text(encoding="utf-8")
VARIANTS = [(name, layout) for name, each in facts.codecs().items() for layout in ("", *each.layouts)]


def enumerators(prefix: str) -> dict[str, int]:
    """Those of lpc.h that begin with `prefix`, by the rest of their names."""
    return {name.lower(): int(number) for name, number in re.findall(rf"\b{prefix}_(\w+) = (\d+)", HEADER)}


def text_of(name: str, layout: str) -> str:
    return f"{name}:{layout}" if layout else name


def test_codec_info_lists_what_the_header_says() -> None:
    known = {name: each.number for name, each in facts.codecs().items()}
    assert enumerators("LPC_CODEC").items() <= known.items()
    assert len(set(known.values())) == len(known)
    for name, each in facts.codecs().items():
        numbers = [layout.number for layout in each.layouts.values()]
        assert sorted(enumerators(f"LPC_{name.upper()}").values()) == sorted(numbers)


def test_codec_layouts_are_what_the_header_calls_them() -> None:
    for name, each in facts.codecs().items():
        named = {text.replace("+", "p"): layout.number for text, layout in each.layouts.items()}
        assert named == enumerators(f"LPC_{name.upper()}")


def test_format_page_has_the_numbers_of_the_codecs() -> None:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith("| 6 | 1 | codec |"))
    assert {name: int(number) for number, name in re.findall(r"(\d+) `(\w+)`", line)} == {
        name: each.number for name, each in facts.codecs().items()
    }


@pytest.mark.parametrize(("name", "layout"), VARIANTS)
def test_codec_is_multiplied_where_a_packed_matrix_takes_it(name: str, layout: str) -> None:
    each = facts.codecs()[name]
    blob = codec.encode(codec_arrays.normal("bf16", (4, 64)), text_of(name, layout))
    if (each.layouts[layout] if layout else each).is_multiplied:
        assert Matrix(blob, "packed").shape == (4, 64)
    else:
        with pytest.raises(CodecError, match="packed form"):
            Matrix(blob, "packed")


@pytest.mark.parametrize("name", facts.codecs())
def test_codec_is_a_transcode_target_where_transcode_takes_it(name: str) -> None:
    blob = codec.encode(codec_arrays.normal("bf16", (4, 64)), "stored")
    if facts.codecs()[name].is_transcode_target:
        assert codec.describe(codec.transcode(blob, name)).codec == name
    else:
        with pytest.raises(CodecError, match="need the whole tensor"):
            codec.transcode(blob, name)


@pytest.mark.parametrize("name", [name for name in facts.codecs() if name != "stored"])
def test_codec_encodes_the_dtypes_that_it_says_and_no_other(name: str) -> None:
    for dtype, number in enumerators("LPC_DTYPE").items():
        array = codec_arrays.normal(dtype, (256, 1024))
        array[:, 128:] = 0  # shrinks in every codec
        raw = codec.describe(codec.encode(array, name)).raw_segment_count
        assert (raw == 0) == (number in facts.codecs()[name].dtypes), dtype


def test_choices_have_a_layout_only_where_it_makes_products_possible() -> None:
    assert [name for name in facts.codec_choices() if ":" in name] == ["bitmap:stored"]
    assert [name for name in facts.codec_choices() if ":" not in name] == list(facts.codecs())


def test_unknown_codec_is_not_multiplied() -> None:
    assert not facts.is_multiplied("zip")
    assert facts.is_multiplied("packed")


def test_unknown_codec_of_a_list_is_refused() -> None:
    with pytest.raises(CodecError, match=r"codec: got 99, expected one of 0 \(stored\)"):
        list(
            native.listed(lambda index, info: native.library().lpc_describe_layout(99, index, info), native.LayoutInfo)
        )


def test_counters_are_the_fields_of_the_header() -> None:
    struct = HEADER.split("typedef struct lpc_session_stats {")[1].split("}")[0]
    assert [counter.name for counter in facts.counters()] == re.findall(r"uint64_t (\w+);", struct)


def test_counters_name_their_unit_as_their_name_does() -> None:
    for counter in facts.counters():
        for ending, unit in (("_ns", "ns"), ("_bytes", "bytes"), ("_per_s", "bytes/s")):
            assert counter.name.endswith(ending) == (counter.unit == unit) or counter.name.startswith("bytes_")


def test_counters_page_equals_the_librarys_list() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Counters")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (sum|state) \|", page, re.MULTILINE)
    assert rows == [(x.name, x.unit, "sum" if x.is_sum else "state") for x in facts.counters()]


def test_memory_figures_are_the_fields_of_the_header() -> None:
    struct = HEADER.split("typedef struct lpc_memory_figures {")[1].split("}")[0]
    assert list(asdict(facts.memory_figures())) == re.findall(r"uint64_t (\w+);", struct)


def test_memory_page_equals_the_librarys_figures() -> None:
    page = (ROOT / "docs" / "boards.md").read_text(encoding="utf-8").split("### Memory")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+)(?: (\w+))? \|", page, re.MULTILINE)
    unit = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}
    assert {name: int(number) * unit[of] for name, number, of in rows} == asdict(facts.memory_figures())


def test_memory_figures_stand_nowhere_else() -> None:
    value = re.compile(r"\b(96|204|256|16) ?<< ?20\b|\b(16|256) ?<< ?10\b")
    users = ["placement.py", "budget.py", "plan/model.py", "plan/make.py", "machine/memory.py", "machine/board.py"]
    found = [name for name in users if value.search((ROOT / "edge_runtime" / name).read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(("rows", "columns"), [(4096, 4096), (7, 130), (1, 1), (0, 64)])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 1.0])
def test_transcoded_bound_is_above_every_packed_blob(rows: int, columns: int, share: float) -> None:
    decoded = 2 * rows * columns
    bound = facts.transcoded_bytes_bound(rows, columns, int(share * decoded))
    assert min(decoded, int(1.1 * int(share * decoded))) <= bound <= decoded
    if rows == 4096:
        weights = codec_arrays.normal("bf16", (512, columns))
        for layout in facts.packed_layouts():
            assert len(codec.encode(weights, f"packed:{layout}")) * 8 <= bound


def test_transcoded_bound_of_an_impossible_shape_is_one_clear_error() -> None:
    with pytest.raises(CodecError, match=r"shape\[1\]: got \d+, expected a row of at most 2147483647 bytes"):
        facts.transcoded_bytes_bound(4, 1 << 40, 100)


def stats(**counts: int) -> SessionStats:
    return SessionStats({counter.name: counts.get(counter.name, 0) for counter in facts.counters()})


def test_stats_since_are_differences_of_sums_and_states_as_they_are() -> None:
    since = stats(runs=7, ring_bytes=100, layer=3).since(stats(runs=5, ring_bytes=300, layer=9))
    assert (since["runs"], since["ring_bytes"], since["layer"]) == (2, 100, 3)
    assert list(since) == [counter.name for counter in facts.counters()]


def test_stats_have_an_attribute_for_each_counter_and_no_other() -> None:
    some = stats(runs=3)
    assert some.runs == 3
    assert {counter.name for counter in facts.counters()} <= set(dir(some))
    assert copy.copy(some) == some
    with pytest.raises(AttributeError, match="has no counter 'walks'"):
        some.walks  # noqa: B018


def test_facts_do_not_depend_on_the_instruction_set() -> None:
    code = "from edge_runtime import facts; print(sorted(facts.codecs()), len(facts.counters()))"
    environment = {**os.environ, "LPC_FORCE_IMPL": "nothing"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{sorted(facts.codecs())} {len(facts.counters())}\n"


@click.command()
@click.option("--codec", "name", type=LibraryChoice(facts.codec_choices), default="ans")
def chosen(name: str) -> None:
    click.echo(name)


def test_library_choice_offers_what_the_library_has() -> None:
    assert f"[{'|'.join(facts.codec_choices())}]" in CliRunner().invoke(chosen, ["--help"]).output
    assert CliRunner().invoke(chosen, ["--codec", "bitmap:stored"]).output == "bitmap:stored\n"
    refused = CliRunner().invoke(chosen, ["--codec", "zip"])
    assert refused.exit_code == 2
    assert "'zip' is not one of 'stored', 'lz4'" in refused.output


def test_library_choice_without_the_library_still_helps() -> None:
    code = "from edge_runtime.cli.run import main; main()"
    environment = {**os.environ, "LPC_LIBRARY": "/nowhere/liblpc.so"}
    command = [sys.executable, "-c", code]
    done = subprocess.run([*command, "--help"], env=environment, capture_output=True, text=True, check=True)
    assert "--transcode NAME" in done.stdout
    done = subprocess.run(
        [*command, "x", "--transcode", "hi3"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("lpc-run: liblpc.so not found: looked at /nowhere/liblpc.so")
