"""Text to token ids, and token ids to text while they come."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.io.files import read_small
from edge_runtime.io.printable import printable
from edge_runtime.package import Package

_INCOMPLETE = "\ufffd"
_CONTEXT_TOKENS = 32
_LONGEST_CHARACTER = 8


def load_tokenizer(content: bytes, file: Path, remedy: str) -> Any:
    """Return the tokenizer (of the library tokenizers) that tokenizer.json's `content` is.

    Raises FormatError that names `file` and the `remedy`. A panic inside the library is one of the malformations.
    """
    from tokenizers import Tokenizer as HfTokenizer

    with _panics_as_errors(file, remedy), _held_back_stderr():
        tokenizer = HfTokenizer.from_str(content.decode("utf-8"))
        tokenizer.encode("a")  # a post_processor is looked at only now
        return tokenizer


@contextlib.contextmanager
def _panics_as_errors(file: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        raise _as_error(error, file, remedy) from None


def _as_error(error: BaseException, file: Path, remedy: str) -> BaseException:
    """What the library raised, which is Exception itself or what pyo3 makes of a panic; anything else as it is."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        return error
    reason = printable(" ".join(str(error).split())[:200])
    return FormatError(f"{file}: not a tokenizer ({reason}); {remedy}", file=str(file))


@contextlib.contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Show what the block writes to standard error only if it succeeds: a panic writes lines of its own there."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed
        yield
        return
    with open(stderr, "wb", closefd=True) as shown, tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            held.seek(0)
            shown.write(held.read())
        finally:
            os.dup2(stderr, 2)


def _content(file: Path) -> bytes:
    try:
        return read_small(file)
    except OSError as error:
        raise FormatError(
            f"{file}: cannot be read ({error.strerror}); export the model again", file=str(file)
        ) from None


class Tokenizer:
    """The tokenizer of an exported model."""

    def __init__(self, package: Package) -> None:
        """Load `package`'s tokenizer; raises FormatError naming the file if it cannot be read as one."""
        self._bos_id, self._file = package.bos_id, package.tokenizer_file
        self._tokenizer = load_tokenizer(_content(package.tokenizer_file), package.tokenizer_file, "export it again")
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder()
        self.special_ids: frozenset[int] = frozenset(token_id for token_id, token in added.items() if token.special)

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text` with the special tokens that tokenizer.json puts around it.

        A text that begins with the beginning-of-text token gets no second one. An empty text is that token alone.
        Raises ConfigError if there is none, or if `text` is not Unicode.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"the prompt is not valid UTF-8: character {error.start} is a lone byte") from error
        with _panics_as_errors(self._file, "export it again"):
            ids: list[int] = self._tokenizer.encode(text).ids
        if self._bos_id is None and not ids:
            raise ConfigError("the prompt has no tokens, and the model has no beginning-of-text token: write some text")
        if self._bos_id is not None and (not ids or ids[:2] == [self._bos_id] * 2):
            ids[:2] = [self._bos_id]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens left out; bytes that are not UTF-8 become U+FFFD."""
        try:
            text: str = self._tokenizer.decode(list(ids))
        except BaseException as error:
            raise _as_error(error, self._file, "export it again") from None
        return text

    def stream(self, prompt_ids: Sequence[int] = ()) -> TextStream:
        """Return a decoder for the tokens that follow `prompt_ids`."""
        return TextStream(self, prompt_ids)


class TextStream:
    """Turns tokens into text one by one, holding back what is not yet a whole character.

    A token's text depends on its neighbours (a leading space is dropped at the start of a text, a character may lie
    across byte tokens), so a short window of tokens is decoded with and without the new ones and the difference is the
    text. The pieces and the flush together are the text of all tokens.
    """

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._window = [token_id for token_id in prompt_ids if token_id not in tokenizer.special_ids][-_CONTEXT_TOKENS:]
        self._known = len(self._window)
        self._known_text = tokenizer.decode(self._window)

    def add(self, token_id: int) -> str:
        """Return the text that `token_id` completes; "" while a character is incomplete and for special tokens."""
        if token_id in self._tokenizer.special_ids:
            return ""
        self._window.append(token_id)
        text = self._tokenizer.decode(self._window)
        pending = len(self._window) - self._known
        if text.endswith(_INCOMPLETE) and pending < _LONGEST_CHARACTER:
            return ""
        return self._emit(text)

    def flush(self) -> str:
        """Return what is still held back, as it is; "" as a rule. Call it after the last token."""
        return self._emit(self._tokenizer.decode(self._window))

    def _emit(self, text: str) -> str:
        piece = text[len(self._known_text) :]
        if piece:
            self._window = self._window[self._known :]
            self._known = len(self._window)
            self._known_text = self._tokenizer.decode(self._window)
        return piece
