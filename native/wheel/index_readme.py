"""README.md for a package index: its links and pictures are relative to the repository, an index needs whole addresses.

scikit-build-core calls `dynamic_metadata` when it writes the metadata of a wheel or an sdist (pyproject.toml).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>(?!#|[a-z]+:)[^)]+)\)")


def absolute_links(text: str, repository: str) -> str:
    """Return Markdown with every relative link and picture as an address below `repository`, on the branch main."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link["picture"] else "blob"
        return f"{link['picture']}[{link['text']}]({repository}/{kind}/main/{link['target']})"

    return _LINK.sub(absolute, text)


def dynamic_metadata(field: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the value of `field`, which must be "readme"; settings: the address `repository`."""
    if field != "readme":
        raise ValueError(f"{field!r}: only the field 'readme' is made here")
    text = Path("README.md").read_text(encoding="utf-8")
    return {"content-type": "text/markdown", "text": absolute_links(text, settings["repository"])}
