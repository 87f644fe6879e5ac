"""Text to ids and back, as it streams: against the tokenizers library and the golden prompts."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkpoints import unseal
from hypothesis import given
from hypothesis import strategies as st
from real_models import MODELS, ExportModel, golden
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import decoders, models

from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.package import Package
from edge_runtime.tokens import TextStream, Tokenizer

BYTES = 256


@pytest.fixture(scope="session", params=MODELS)
def tokenizer(request: pytest.FixtureRequest, export_model: ExportModel) -> Tokenizer:
    return Tokenizer(Package.open(export_model(request.param, "lz4")))


@pytest.mark.parametrize("model", MODELS)
def test_encode_golden_prompts_equal(model: str, export_model: ExportModel) -> None:
    tokenizer = Tokenizer(Package.open(export_model(model, "lz4")))
    for record in golden(model):
        assert tokenizer.encode(record["prompt"]) == record["prompt_ids"]


@pytest.mark.parametrize("model", MODELS)
def test_stream_golden_continuations_are_the_rest_of_the_text(model: str, export_model: ExportModel) -> None:
    tokenizer = Tokenizer(Package.open(export_model(model, "lz4")))
    for record in golden(model):
        stream = tokenizer.stream(record["prompt_ids"])
        pieces = [stream.add(token) for token in record["greedy_ids"]]
        assert record["prompt"] + "".join(pieces) + stream.flush() == record["text"]


@given(text=st.text(max_size=60))
def test_stream_any_text_pieces_join_to_the_decoded_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    stream = tokenizer.stream()
    pieces = [stream.add(token) for token in ids]
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + stream.flush() == tokenizer.decode(ids)


@given(text=st.text(min_size=1, max_size=30), cut=st.integers(0, 60))
def test_stream_after_any_prompt_continues_the_decoded_text(tokenizer: Tokenizer, text: str, cut: int) -> None:
    ids = tokenizer.encode("Once upon " + text)
    prompt = ids[: 4 + cut % (len(ids) - 3)]
    if "\ufffd" in tokenizer.decode(prompt):  # a prompt that ends within a character
        return
    stream = tokenizer.stream(prompt)
    rest = "".join([stream.add(token) for token in ids[len(prompt) :]]) + stream.flush()
    assert tokenizer.decode(prompt) + rest == tokenizer.decode(ids)


@given(ids=st.lists(st.integers(0, 511), max_size=40))
def test_stream_any_tokens_hold_back_little(tokenizer: Tokenizer, ids: list[int]) -> None:
    stream = tokenizer.stream()
    for token in ids:
        stream.add(token)
        assert len(stream._window) <= 64
    stream.flush()


def byte_fallback_tokenizer() -> Any:
    """As Llama-2's: sentencepiece words, unknown characters as byte tokens, one leading space stripped."""
    vocab = {f"<0x{byte:02X}>": byte for byte in range(BYTES)} | {"▁": 256, "▁there": 257, "x": 258}
    made = HfTokenizer(models.BPE(vocab, [], byte_fallback=True))
    replace = decoders.Replace("▁", " ")
    made.decoder = decoders.Sequence([replace, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return made


class ByteFallback(Tokenizer):
    """A Tokenizer around `byte_fallback_tokenizer`."""

    def __init__(self) -> None:
        self._tokenizer = byte_fallback_tokenizer()
        self.special_ids = frozenset()


def test_stream_byte_tokens_come_as_whole_characters() -> None:
    stream = TextStream(ByteFallback())
    pieces = [stream.add(byte) for byte in "é你🙂".encode()]
    assert pieces == ["", "é", "", "", "你", "", "", "", "🙂"]
    assert stream.flush() == ""


def test_stream_incomplete_character_is_flushed_as_replacement() -> None:
    stream = TextStream(ByteFallback())
    assert [stream.add(byte) for byte in "你".encode()[:2]] == ["", ""]
    assert set(stream.flush()) == {"\ufffd"}


def test_stream_endless_broken_bytes_are_not_held_back_forever() -> None:
    stream = TextStream(ByteFallback())
    assert "".join(stream.add(0xFF) for _ in range(100)).count("\ufffd") >= 90
    assert len(stream._window) < 20


def test_stream_leading_space_depends_on_the_prompt() -> None:
    assert TextStream(ByteFallback()).add(257) == "there"
    assert TextStream(ByteFallback(), [258]).add(257) == " there"
    spaces = TextStream(ByteFallback())
    assert "".join(spaces.add(token) for token in (256, 256, 257)) == "  there"


def test_encode_empty_text_is_the_beginning_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("") == [1]


def test_encode_lone_bytes_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="not valid UTF-8: character 2 is a lone byte"):
        tokenizer.encode("ab\udcff")


def with_tokenizer(folder: Path, **changes: Any) -> Package:
    """Return the package with these values in its tokenizer.json."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return Package.open(folder)


@pytest.fixture
def folder(export_model: ExportModel, tmp_path: Path) -> Path:
    return unseal(Path(shutil.copytree(export_model("demo_model", "lz4"), tmp_path / "model")))


def test_encode_puts_around_a_text_what_tokenizer_json_says(folder: Path) -> None:
    record = golden("demo_model")[0]
    truncation = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    assert Tokenizer(with_tokenizer(folder, truncation=truncation)).encode(record["prompt"]) == record["prompt_ids"]
    package = with_tokenizer(folder, post_processor=None)  # its configuration still says add_bos_token
    assert Tokenizer(package).encode(record["prompt"]) == record["prompt_ids"][1:]
    assert Tokenizer(package).encode("") == [1]
    with pytest.raises(ConfigError, match="no tokens"):
        Tokenizer(dataclasses.replace(package, bos_id=None)).encode("")


def test_encode_text_that_begins_with_the_beginning_token_gets_no_second(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<s>Once upon") == tokenizer.encode("Once upon")
    assert tokenizer.encode("<s><s>a")[:3] == [1, 1, tokenizer.encode("a")[1]]


UNKNOWN_TOKEN = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}], "pair": [],
                 "special_tokens": {}}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"post_processor": UNKNOWN_TOKEN},
        {"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?P<"}, "behavior": "Isolated", "invert": False}},
    ],
)
def test_load_of_a_broken_tokenizer_is_one_line(
    folder: Path, changes: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    package = with_tokenizer(folder, **changes)
    with pytest.raises(FormatError, match=r"tokenizer\.json: not a tokenizer \(.*; export it again") as caught:
        Tokenizer(package)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
