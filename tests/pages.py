"""What the tests read of the pages in Markdown: fenced blocks with what they need, links, tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from real_models import ROOT

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^>]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[[^\]]*\]\((?!#|[a-z]+:)(?P<target>[^)#]+)")
_PAGES = ("*.md", "docs/*.md", "docs/*/*.md", "examples/*/README.md")


@dataclass(frozen=True)
class Block:
    """A fenced block; `mark` is the comment right before it, such as "needs: network"; "" without one."""

    language: str
    mark: str
    text: str


def pages() -> list[Path]:
    """Return every page that people read."""
    return sorted(path for pattern in _PAGES for path in ROOT.glob(pattern))


def blocks(page: Path, language: str) -> list[Block]:
    """Return the fenced blocks of one language, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["language"], each["mark"] or "", each["text"]) for each in found if each["language"] == language]


def links(page: Path) -> list[str]:
    """Return the targets of the page's links and pictures that are relative."""
    return [link["target"] for link in _LINK.finditer(page.read_text(encoding="utf-8"))]


def first_column(page: Path, heading: str) -> list[str]:
    """Return what is in backticks in the first cells of the tables under a heading, in order."""
    text = page.read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
