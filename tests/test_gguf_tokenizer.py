"""The tokenizer that a GGUF file carries: the same tokens as the one from which it was made, or refused by name."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from checkpoints import CONFIG
from mutate import gguf_
from test_gguf_source import ARRAY, DEEP, F32, TEXT, U32, edited, set_value, write_gguf
from tokenizers import Tokenizer

from edge_runtime.errors import ExportError, FormatError
from exporters.checkpoints.gguf_file import GgufFile
from exporters.checkpoints.gguf_tokenizer import tokenizer_json
from exporters.checkpoints.source_maps import SourceMaps
from exporters.export import export

DEMO = Path(__file__).parents[1] / "examples" / "demo_model" / "tokenizer.json"
I32, FLAG = 5, 7
TEXTS = (
    "Once upon a time", "", " ", "  two  spaces ",
    "It's 12345 o'clock, they'll SAY: \u00fc\u00df\u4e16\u754c!\n\n\tend",
    "a</s>b <s>", "e\u0301 \U0001f600", "x" * 50, "\r\n \r\n", "don't DON'T 3.14159",
)  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gguf")
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", "F16")


def with_tokenizer(source: Path, target: Path, values: dict[str, tuple[int, Any]]) -> Path:
    """A file with these keys below tokenizer.ggml; None takes a key away."""

    def change(file: gguf_.Gguf) -> None:
        for key, (kind, value) in values.items():
            set_value(file, f"tokenizer.ggml.{key}", kind, value)

    return edited(source, target, change)


def texts(items: list[str]) -> tuple[int, Any]:
    return ARRAY, (TEXT, [item.encode() for item in items])


def byte_level() -> dict[str, tuple[int, Any]]:
    """The demo model's tokenizer as a converter writes it."""
    demo = json.loads(DEMO.read_text(encoding="utf-8"))
    vocabulary = sorted(demo["model"]["vocab"], key=demo["model"]["vocab"].__getitem__)
    return {
        "model": (TEXT, b"gpt2"), "pre": (TEXT, b"gpt-2"), "tokens": texts(vocabulary),
        "token_type": (ARRAY, (I32, [2, 3, 3] + [1] * (len(vocabulary) - 3))),
        "merges": texts([" ".join(merge) for merge in demo["model"]["merges"]]),
        "bos_token_id": (U32, 1), "eos_token_id": (U32, 2), "add_bos_token": (FLAG, True),
    }  # fmt: skip


_ = "\u2581"
WORDS = [
    _, *"onceupatim", "on", "ce", f"{_}on", f"{_}once", "ti", "me", "tim", f"{_}t", "time", f"{_}time", "up", f"{_}up",
    f"{_}upon", "pon", f"{_}a", "en", "ne", "nce", "once",
]  # fmt: skip


def sentence_piece(**changes: tuple[int, Any]) -> dict[str, tuple[int, Any]]:
    """As many tokens as the tiny model has: pieces with scores, and every byte that fits."""
    size = CONFIG["vocab_size"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(size - 3 - len(WORDS))), *WORDS]
    kinds = [2, 3, 3] + [6] * (size - 3 - len(WORDS)) + [1] * len(WORDS)
    scores = [0.0] * (size - len(WORDS)) + [-float(rank) for rank, _ in enumerate(WORDS)]
    return {
        "model": (TEXT, b"llama"), "tokens": texts(tokens), "token_type": (ARRAY, (I32, kinds)),
        "scores": (ARRAY, (F32, scores)), "bos_token_id": (U32, 1), "eos_token_id": (U32, 2), **changes,
    }  # fmt: skip


def made(path: Path) -> Tokenizer:
    content = tokenizer_json(GgufFile(path, SourceMaps()))
    assert content is not None
    return Tokenizer.from_str(content.decode())


def test_byte_level_tokenizer_gives_the_tokens_of_its_source(tmp_path: Path, plain: Path) -> None:
    ours, demo = made(with_tokenizer(plain, tmp_path / "m.gguf", byte_level())), Tokenizer.from_file(str(DEMO))
    rng = random.Random(3)
    more = ["".join(rng.choices("etaoin shr'dlu0123.,\n\u00e9", k=60)) for _ in range(200)]
    for text in (*TEXTS, *more):
        ids = demo.encode(text).ids
        assert ours.encode(text).ids == ids
        assert ours.decode(ids) == demo.decode(ids)


@pytest.mark.parametrize(("pre", "pieces"), [
    ("llama-bpe", ["It", "'s", " ", "123", "45", " ok", "!!\n\n", " x"]),
    ("qwen2", ["It", "'s", " ", "1", "2", "3", "4", "5", " ok", "!!\n\n", " x"]),
    ("smollm", ["It", "'s", " ", "1", "2", "3", "4", "5", " ok", "!!", "\n\n", " x"]),
    ("gpt-2", ["It", "'s", " 12345", " ok", "!!", "\n\n", " x"]),
])  # fmt: skip
def test_byte_level_tokenizer_cuts_words_as_its_name_says(
    tmp_path: Path, plain: Path, pre: str, pieces: list[str]
) -> None:
    ours = made(with_tokenizer(plain, tmp_path / "m.gguf", byte_level() | {"pre": (TEXT, pre.encode())}))
    text = "It's 12345 ok!!\n\n x"
    cut = [text[begin:end] for _, (begin, end) in ours.pre_tokenizer.pre_tokenize_str(text)]
    assert cut == pieces


def merged(text: str) -> list[str]:
    """SentencePiece's own rule: of all neighbours that are a piece together, the best piece first, from the left."""
    pieces, ranks = list("\u2581" + text.replace(" ", "\u2581")), {word: rank for rank, word in enumerate(WORDS)}
    while True:
        pairs = [(ranks[a + b], at) for at, (a, b) in enumerate(itertools.pairwise(pieces)) if a + b in ranks]
        if not pairs:
            return pieces
        at = min(pairs)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def test_sentence_piece_tokenizer_merges_by_score(tmp_path: Path, plain: Path) -> None:
    ours = made(with_tokenizer(plain, tmp_path / "m.gguf", sentence_piece()))
    rng = random.Random(5)
    for _ in range(300):
        text = "".join(rng.choices("onceupatim ", k=rng.randrange(1, 25)))
        found = ours.encode(text)
        assert found.tokens == ["<s>", *merged(text)]
        assert ours.decode(found.ids) == text
    assert ours.encode("\t").tokens == ["<s>", "\u2581", "<0x09>"]
    assert ours.encode("a</s>").ids[-1] == 2


def test_gguf_without_a_tokenizer_beside_it_is_exported_with_its_own(tmp_path: Path, plain: Path) -> None:
    path = with_tokenizer(plain, tmp_path / "m.gguf", sentence_piece(add_bos_token=(FLAG, False)))
    export(path, tmp_path / "out")
    ours = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert ours.encode("once upon a time").tokens == ["\u2581once", "\u2581upon", "\u2581a", "\u2581time"]


DEFECTS: dict[str, tuple[dict[str, tuple[int, Any]], str]] = {
    "model": ({"model": (TEXT, b"rwkv")}, "tokenizer.ggml.model is 'rwkv', which is not known here; put the model's"),
    "no_scores": ({"scores": (TEXT, b"")}, "tokenizer.ggml.scores is '', expected an array of float"),
    "few_scores": ({"scores": (ARRAY, (F32, [0.0]))}, "scores is an array of 1, expected 96 numbers, one a token"),
    "types": ({"token_type": (ARRAY, (F32, [1.0]))}, "token_type is an array of 1, expected an array of int"),
    "few_types": ({"token_type": (ARRAY, (I32, [1]))}, "token_type is an array of 1, expected 96 numbers, one a token"),
    "twice": ({"tokens": texts(["a"] * 96)}, "tokens is an array of 96, expected every token once"),
    "not_utf8": ({"tokens": (ARRAY, (TEXT, [b"\xff"]))}, "a member of tokenizer.ggml.tokens is not UTF-8"),
    "numbers": ({"tokens": (ARRAY, (U32, [1, 2]))}, "tokens is an array of 2, expected an array of str"),
    "deep": ({"scores": (ARRAY, DEEP)}, "tokenizer.ggml.scores is an array of type 9, expected numbers or texts"),
    "long_piece": ({"tokens": texts([*(str(i) for i in range(95)), "x" * 600])}, "pieces of at most 512 characters"),
    "charsmap": ({"precompiled_charsmap": (ARRAY, (0, [1, 2]))}, "precompiled_charsmap is an array of 2, which is not"),
    "bos": ({"bos_token_id": (U32, 96)}, "bos_token_id is 96, expected the number of a token"),
    "flag": ({"add_bos_token": (U32, 1)}, "add_bos_token is 1, expected true or false"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_tokenizer_that_is_odd_is_refused_by_name(tmp_path: Path, plain: Path, defect: str) -> None:
    changes, expected = DEFECTS[defect]
    path = with_tokenizer(plain, tmp_path / "m.gguf", sentence_piece() | changes)
    assert_refused(path, expected)


@pytest.mark.parametrize(("changes", "expected"), [
    ({"pre": (TEXT, b"default")}, "tokenizer.ggml.pre is 'default', which is not known here"),
    ({"merges": texts(["a b c"])}, "merges is an array of 1, expected two pieces with a blank between them in each"),
    ({"merges": texts(["nobody knows"])}, "not a tokenizer"),
])  # fmt: skip
def test_byte_level_tokenizer_that_is_odd_is_refused_by_name(
    tmp_path: Path, plain: Path, changes: dict[str, tuple[int, Any]], expected: str
) -> None:
    assert_refused(with_tokenizer(plain, tmp_path / "m.gguf", byte_level() | changes), expected)


def assert_refused(path: Path, expected: str) -> None:
    with pytest.raises((ExportError, FormatError)) as caught:
        tokenizer_json(GgufFile(path, SourceMaps()))
    text = str(caught.value)
    assert expected in text
    assert text.isprintable()
    assert len(text) < 500 + len(str(path))
