"""The tokenizer that a GGUF file carries, as the tokenizer.json that the model's makers would have published.

Two kinds are known: byte-level BPE, for which the file only names how a text is cut into words, and SentencePiece's
BPE, whose merges follow from the scores of its pieces.
"""

from __future__ import annotations

import json
from typing import Any

from edge_runtime.errors import ExportError, FormatError
from edge_runtime.tokens import load_tokenizer
from exporters.checkpoints.gguf_file import Array, GgufFile, shown

_PREFIX = "tokenizer.ggml."
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4  # token types
_LONGEST_PIECE = 512  # characters: every cut of a piece may be a merge
_ELSEWHERE = "put the model's tokenizer.json beside the file, or name its folder with --tokenizer"
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def tokenizer_json(file: GgufFile) -> bytes | None:
    """Return tokenizer.json; None if the file has no tokenizer.

    Raises ExportError for a kind that is not known here, FormatError for one that is malformed.
    """
    if f"{_PREFIX}tokens" not in file.values:
        return None
    found = _Fields(file)
    kind = found.value("model")
    if kind not in ("gpt2", "llama"):
        raise found.refuse("model")
    made = _byte_level(found) if kind == "gpt2" else _sentence_piece(found)
    made |= {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(found),
        "post_processor": _frame(found, kind == "llama" or found.value("pre") == "llama-bpe"),
    }
    content = json.dumps(made, ensure_ascii=False, indent=2).encode("utf-8")
    load_tokenizer(content, file.path, _ELSEWHERE)
    return content


class _Fields:
    """The metadata of the tokenizer: `tokens` with their `types`."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file
        self.tokens = self.members("tokens", str)
        self.types = self.members("token_type", int) if self.has("token_type") else [_NORMAL] * len(self.tokens)
        if len(set(self.tokens)) != len(self.tokens):
            raise self.error("tokens", "every token once")
        if len(self.types) != len(self.tokens):
            raise self.error("token_type", f"{len(self.tokens)} numbers, one a token")

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return _PREFIX + key in self._file.values

    def value(self, key: str, default: Any = None) -> Any:
        """Return a value as it is."""
        return self._file.values.get(_PREFIX + key, default)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.value(key, default)
        if type(value) is not bool:
            raise self.error(key, "true or false")
        return value

    def members(self, key: str, kind: type) -> list[Any]:
        """Return the members of an array of this type."""
        found = self._file.members(_PREFIX + key)
        if found is None or not all(type(member) is kind for member in found):
            raise self.error(key, f"an array of {kind.__name__}")
        return found

    def of_type(self, *types: int) -> list[tuple[int, str]]:
        """Return number and text of the tokens of these types."""
        both = zip(self.tokens, self.types, strict=True)
        return [(number, token) for number, (token, kind) in enumerate(both) if kind in types]

    def error(self, key: str, expected: str) -> FormatError:
        """Return the error for a malformed value; the caller raises it."""
        path, field = self._file.path, _PREFIX + key
        got = shown(self.value(key)) if self.has(key) else "missing"
        return FormatError(f"{path}: {field} is {got}, expected {expected}; {_ELSEWHERE}", file=str(path), field=field)

    def refuse(self, key: str) -> ExportError:
        """Return the error for a value that is not carried out; the caller raises it."""
        return ExportError(
            f"{self._file.path}: {_PREFIX}{key} is {shown(self.value(key))}, which is not known here; {_ELSEWHERE}"
        )


def _byte_level(found: _Fields) -> dict[str, Any]:
    pre = found.value("pre")
    merges = [merge.split(" ") for merge in found.members("merges", str)]
    if not all(len(merge) == 2 for merge in merges):
        raise found.error("merges", "two pieces with a blank between them in each")
    return {
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _cut(found, pre)},
        "decoder": {**_BYTES, "add_prefix_space": True, "use_regex": True},
        "model": _bpe(found, merges, ignore_merges=pre == "llama-bpe"),
    }


def _cut(found: _Fields, pre: Any) -> list[dict[str, Any]]:
    """What cuts a text into words, by the name that llama.cpp has for it."""
    if pre in ("llama-bpe", "qwen2"):
        words = {"Regex": _WORDS % ("{1,3}" if pre == "llama-bpe" else "")}
        split = {"type": "Split", "pattern": words, "behavior": "Isolated", "invert": False}
        return [split, {**_BYTES, "use_regex": False}]
    if pre == "smollm":
        return [{"type": "Digits", "individual_digits": True}, {**_BYTES, "use_regex": True}]
    if pre == "gpt-2":
        return [{**_BYTES, "use_regex": True}]
    raise found.refuse("pre")


def _sentence_piece(found: _Fields) -> dict[str, Any]:
    for key in ("precompiled_charsmap", "remove_extra_whitespaces"):
        value = found.value(key)
        if value.count if isinstance(value, Array) else value:
            raise found.refuse(key)
    unknown = found.of_type(_UNKNOWN)
    leading = found.flag("add_space_prefix", True)
    blank = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    back = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    ends = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if leading else []
    return {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [*([{"type": "Prepend", "prepend": "▁"}] if leading else []), blank],
        },
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}, *ends]},
        "model": _bpe(
            found, _merges(found), unk_token=unknown[0][1] if unknown else None, fuse_unk=True, byte_fallback=True
        ),
    }


def _merges(found: _Fields) -> list[list[str]]:
    """Every two pieces that are a piece together: that with the best score first."""
    scores = found.members("scores", float)
    if len(scores) != len(found.tokens):
        raise found.error("scores", f"{len(found.tokens)} numbers, one a token")
    pieces = {token: scores[number] for number, token in found.of_type(_NORMAL)}
    if any(len(piece) > _LONGEST_PIECE for piece in pieces):
        raise found.error("tokens", f"pieces of at most {_LONGEST_PIECE} characters")
    ranked = [
        (-score, -cut, cut - len(piece), [piece[:cut], piece[cut:]])
        for piece, score in pieces.items()
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    return [merge for *_, merge in sorted(ranked, key=lambda each: each[:3])]


def _bpe(found: _Fields, merges: list[list[str]], **settings: Any) -> dict[str, Any]:
    plain = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
    }  # fmt: skip
    vocabulary = {token: number for number, token in enumerate(found.tokens)}
    return {**plain, **settings, "vocab": vocabulary, "merges": merges}


def _added_tokens(found: _Fields) -> list[dict[str, Any]]:
    """Tokens that are found before a text is cut: special ones, which are no text, and others."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return [
        {"id": number, "content": token, **flags, "special": found.types[number] != _USER_DEFINED}
        for number, token in found.of_type(_UNKNOWN, _CONTROL, _USER_DEFINED)
        if token
    ]


def _frame(found: _Fields, begins: bool) -> dict[str, Any] | None:
    """What surrounds a text: what the file says, else what the kind of tokenizer has."""
    parts: dict[str, tuple[str, int]] = {}
    for name, default in (("bos", begins), ("eos", False)):
        number = found.value(f"{name}_token_id")
        if not found.flag(f"add_{name}_token", default) or number is None:
            continue
        if type(number) is not int or not 0 <= number < len(found.tokens):
            raise found.error(f"{name}_token_id", "the number of a token")
        parts[name] = (found.tokens[number], number)
    if not parts:
        return None
    around = {name: {"SpecialToken": {"id": token, "type_id": 0}} for name, (token, _) in parts.items()}

    def framed(text: str) -> list[dict[str, Any]]:
        middle = {"Sequence": {"id": text, "type_id": 0}}
        return [part for part in (around.get("bos"), middle, around.get("eos")) if part is not None]

    return {
        "type": "TemplateProcessing",
        "single": framed("A"),
        "pair": [*framed("A"), *framed("B")],
        "special_tokens": {
            token: {"id": token, "ids": [number], "tokens": [token]} for token, number in parts.values()
        },
    }
