"""Text from elsewhere (names, logs, tokens, paths) made safe to show: it cannot steer a terminal or hide itself."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset("\u061c\u200e\u200f\u2028\u2029\ufeff") | {
    chr(code) for first, last in ((0x202A, 0x202E), (0x2066, 0x2069)) for code in range(first, last + 1)
}
"""Marks that reorder or break a line without being seen."""


def printable(text: str, keep: str = "") -> str:
    """Return `text` with control characters, lone surrogates and hidden marks as escapes such as \\x1b.

    Characters of `keep`, such as a line feed in running text, stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or _is_safe(char) else _escaped(char) for char in text)


def _is_safe(char: str) -> bool:
    return char not in _HIDDEN and unicodedata.category(char) not in ("Cc", "Cs")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
