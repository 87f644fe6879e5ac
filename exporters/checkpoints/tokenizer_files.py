"""The tokenizer of a source: its files, read and checked, and tokenizer.json with the tokens that the others add.

transformers 5 is followed: tokens that only tokenizer_config.json, special_tokens_map.json or added_tokens.json name
are added to those of tokenizer.json, and what surrounds a text is its post_processor's business alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.io.files import parse_json
from edge_runtime.io.printable import printable
from edge_runtime.io.source_files import read_source
from edge_runtime.tokens import load_tokenizer

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_SPECIAL_MAP, _ADDED = "special_tokens_map.json", "added_tokens.json"
TOKENIZER_FILES = (
    TOKENIZER,
    TOKENIZER_CONFIG,
    _SPECIAL_MAP,
    _ADDED,
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_NUMBER = re.compile("[0-9]{1,9}")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass
class TokenizerFiles:
    """What a folder holds of a tokenizer, by name, and what the user should know of it."""

    files: dict[str, bytes]
    warnings: list[str] = field(default_factory=list)

    def __contains__(self, name: object) -> bool:
        return name in self.files


def read_tokenizer(folder: Path, vocab_size: int = 0) -> TokenizerFiles:
    """Read what `folder` holds; `vocab_size` is the number of rows of the model's table, 0 where it is not known.

    Raises ExportError for a file that cannot be read, ConfigError for one that is not JSON, and FormatError for a
    tokenizer.json that is no tokenizer.
    """
    result = TokenizerFiles(
        {name: read_source(folder / name) for name in TOKENIZER_FILES if os.path.lexists(folder / name)}
    )
    values = {name: _object(folder / name, result) for name in (TOKENIZER_CONFIG, _SPECIAL_MAP, _ADDED)}
    if TOKENIZER in result:
        _complete(result, folder, values, vocab_size)
    return result


def _object(path: Path, found: TokenizerFiles) -> dict[str, Any]:
    """Return the JSON object that a file holds, {} where there is no such file."""
    if path.name not in found:
        return {}
    try:
        value = parse_json(found.files[path.name].decode("utf-8-sig"))
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON ({error}); fetch the file again") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is a JSON {type(value).__name__}, expected an object; fetch the file again")
    return value


def _complete(found: TokenizerFiles, folder: Path, values: Mapping[str, dict[str, Any]], vocab_size: int) -> None:
    """Add to tokenizer.json what the other files name, and warn of what disagrees."""
    path = folder / TOKENIZER
    tokenizer = load_tokenizer(found.files[TOKENIZER], path, "fetch it again")
    _check_numbers(path, tokenizer)
    named = _named_tokens(folder, values)
    declared = _declared_tokens(folder, values, {token.content for token in named})
    merged = _Merged(tokenizer, vocab_size)
    for number, token in sorted(declared.items()):
        merged.add(token, anew=True)
        if tokenizer.token_to_id(token.content) not in (number, None):
            found.warnings.append(
                f"{path}: {printable(token.content)} is token {tokenizer.token_to_id(token.content)}, as in "
                f"transformers, not {number} as the files beside it state"
            )
    for token in named:
        merged.add(token, anew=False)
    if merged.changed:
        found.files[TOKENIZER] = tokenizer.to_str(pretty=True).encode("utf-8")
    if merged.left_out:
        found.warnings.append(
            f"{path}: does not have {_some(merged.left_out)}, which the files beside it name, and the model's table "
            f"ends with token {vocab_size - 1}: left out, so that they are ordinary text"
        )
    found.warnings += _size_warning(path, tokenizer, vocab_size) + _frame_warnings(folder, tokenizer, values)


def _check_numbers(path: Path, tokenizer: Any) -> None:
    """FormatError for two tokens with one number: which of them it stands for would change from run to run."""
    texts: dict[int, str] = {}
    for text, number in tokenizer.get_vocab().items():
        other = texts.setdefault(number, text)
        if other != text:
            some = printable(" and ".join(map(repr, sorted((other, text)))))[:120]
            raise FormatError(f"{path}: {some} have the same number, {number}; fetch it again", file=str(path))


class _Merged:
    """Adds tokens to a tokenizer, as long as the model has rows for them (`vocab_size`, 0 if that is not known)."""

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        added = tokenizer.get_added_tokens_decoder()
        self._tokenizer, self._vocab_size = tokenizer, vocab_size
        self._known = {token.content: repr(token) for token in added.values()}
        self._next = max([tokenizer.get_vocab_size(with_added_tokens=False) - 1, *added]) + 1
        self.changed = False
        self.left_out: list[str] = []

    def add(self, token: Any, anew: bool) -> None:
        """Add a token that is not there; one that is there with other flags only if `anew`."""
        text = token.content
        if (
            not text
            or text in self.left_out
            or (text in self._known and (not anew or self._known[text] == repr(token)))
        ):
            return
        if self._tokenizer.token_to_id(text) is None:
            if self._vocab_size and self._next >= self._vocab_size:
                self.left_out.append(text)
                return
            self._next += 1
        self._tokenizer.add_tokens([token])
        self._known[text] = repr(token)
        self.changed = True


def _named_tokens(folder: Path, values: Mapping[str, dict[str, Any]]) -> list[Any]:
    """Return the special tokens that the configuration names."""
    config, path = values[TOKENIZER_CONFIG], folder / TOKENIZER_CONFIG
    if "added_tokens_decoder" not in config and values[_SPECIAL_MAP]:
        config, path = config | values[_SPECIAL_MAP], folder / _SPECIAL_MAP
    further = [key for key in config if key.endswith("_token") and key not in _NAMED and isinstance(config[key], str)]
    listed = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    listed = list(listed.values()) if isinstance(listed, dict) else listed
    if not isinstance(listed, list):
        raise ConfigError(f"{path}: additional_special_tokens is no list of tokens")
    entries = [config[key] for key in (*_NAMED, *further) if config.get(key) is not None]
    return [_token(path, entry, special=True) for entry in (*entries, *listed)]


def _declared_tokens(folder: Path, values: Mapping[str, dict[str, Any]], named: set[str]) -> dict[int, Any]:
    """Return the tokens that are listed with their numbers."""
    config = values[TOKENIZER_CONFIG]
    if "added_tokens_decoder" in config:
        path, listed = folder / TOKENIZER_CONFIG, config["added_tokens_decoder"]
        if not isinstance(listed, dict) or not all(_NUMBER.fullmatch(key) for key in listed):
            raise ConfigError(f"{path}: added_tokens_decoder is no object of tokens by number")
        tokens = {int(number): _token(path, entry, special=False) for number, entry in listed.items()}
        for token in tokens.values():
            token.special |= token.content in named
        return tokens
    path = folder / _ADDED
    if not all(type(number) is int for number in values[_ADDED].values()):
        raise ConfigError(f"{path}: is no object of numbers by token")
    return {number: _token(path, text, text in named) for text, number in values[_ADDED].items()}


def _token(path: Path, entry: Any, special: bool) -> Any:
    """Return a token: `entry` is its text, or its text with flags."""
    from tokenizers import AddedToken

    if isinstance(entry, str):
        return AddedToken(entry, special=special, normalized=not special)
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
        raise ConfigError(f"{path}: {ascii(entry)[:80]} is no token, expected an object with content")
    flags = {flag: entry[flag] for flag in _FLAGS if isinstance(entry.get(flag), bool)}
    return AddedToken(entry["content"], **flags | ({"special": True} if special else {}))


def _size_warning(path: Path, tokenizer: Any, vocab_size: int) -> list[str]:
    """Warn of tokens that the model does not have."""
    beyond = [text for text, number in tokenizer.get_vocab().items() if number >= vocab_size] if vocab_size else []
    if not beyond:
        return []
    return [f"{path}: {_some(beyond)} are beyond the model's {vocab_size} tokens; it may belong to another model"]


def _frame_warnings(folder: Path, tokenizer: Any, values: Mapping[str, dict[str, Any]]) -> list[str]:
    """Warn where the configuration wants another token before or after a text than tokenizer.json puts there."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    frame, warnings = tokenizer.encode("").ids, []
    for key in ("bos_token", "eos_token"):
        entry, asked = values[TOKENIZER_CONFIG].get(key), values[TOKENIZER_CONFIG].get(f"add_{key}")
        text = entry.get("content") if isinstance(entry, dict) else entry
        if not isinstance(text, str) or not isinstance(asked, bool):
            continue
        number = tokenizer.token_to_id(text)
        if number is None or asked == (number in frame):
            continue
        warnings.append(
            f"{folder / TOKENIZER_CONFIG}: add_{key} is {str(asked).lower()}, but the post_processor of {TOKENIZER} "
            f"{'does not add' if asked else 'adds'} {printable(text)}: {TOKENIZER} counts, as in transformers"
        )
    return warnings


def _some(names: list[str], most: int = 4) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return printable(", ".join(names[:most])) + rest
