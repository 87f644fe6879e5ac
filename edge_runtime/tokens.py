"""Text to token ids, and token ids to text while they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_runtime.errors import ConfigError, FormatError
from edge_runtime.package import Package

_INCOMPLETE = "\ufffd"
_CONTEXT_TOKENS = 32
_LONGEST_CHARACTER = 8


class Tokenizer:
    """The tokenizer of an exported model."""

    def __init__(self, package: Package) -> None:
        """Load `package`'s tokenizer; raises FormatError naming the file if it cannot be read as one."""
        from tokenizers import Tokenizer as HfTokenizer

        self._bos_id = package.bos_id if package.add_bos else None
        self._empty_prompt = [] if package.bos_id is None else [package.bos_id]
        try:
            self._tokenizer: Any = HfTokenizer.from_file(str(package.tokenizer_file))
        except Exception as error:  # tokenizers raises the base class for every malformation
            raise FormatError(
                f"{package.tokenizer_file}: not a tokenizer ({error}); export the model again",
                file=str(package.tokenizer_file),
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder()
        self.special_ids: frozenset[int] = frozenset(token_id for token_id, token in added.items() if token.special)

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text` with the special tokens that the model expects before it.

        An empty text is the beginning-of-text token alone. Raises ConfigError if there is none, or if `text` is not
        Unicode.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"the prompt is not valid UTF-8: character {error.start} is a lone byte") from error
        ids: list[int] = self._tokenizer.encode(text).ids
        if self._bos_id is not None and ids[:1] != [self._bos_id]:
            ids.insert(0, self._bos_id)
        ids = ids or list(self._empty_prompt)
        if not ids:
            raise ConfigError("the prompt has no tokens, and the model has no beginning-of-text token: write some text")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens left out; bytes that are not UTF-8 become U+FFFD."""
        text: str = self._tokenizer.decode(list(ids))
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
