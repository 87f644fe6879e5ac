"""Write short, simple children's stories from a grammar: the training text of the demo model.

All words come from ``grammar.txt`` next to this file. Output depends only on the seed and that file.
Stories are separated by an empty line; a single newline is a paragraph break.

    python make_text.py --out build/train.txt --megabytes 10 --held-out held_out.txt
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(\w+)\}")
RULE = re.compile(r"<(\*?)([\w.]+)>")
ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
PRONOUNS = {
    "she": {"he": "she", "him": "her", "his": "her", "hiss": "hers", "himself": "herself"},
    "he": {"he": "he", "him": "him", "his": "his", "hiss": "his", "himself": "himself"},
}


@dataclass
class Table:
    """Rows of words that belong together, one column per slot name."""

    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def pick(self, rng: random.Random) -> dict[str, str]:
        """Return one row as slot name -> words."""
        return dict(zip(self.columns, rng.choice(self.rows), strict=True))


@dataclass
class Grammar:
    """The tables and rules of a grammar file."""

    tables: list[Table]
    rules: dict[str, list[str]]

    @property
    def plots(self) -> list[str]:
        """Names of the plots: every name that has an ``.event`` rule."""
        return [name.removesuffix(".event") for name in self.rules if name.endswith(".event")]

    def table(self, slot: str) -> Table:
        """Return the table that has a column named ``slot``."""
        for table in self.tables:
            if slot in table.columns:
                return table
        raise KeyError(f"no table has a column {slot!r}")


def read_grammar(path: Path) -> Grammar:
    """Parse a grammar file; its opening comment describes the notation."""
    grammar = Grammar(tables=[], rules={})
    lines: list[str] = []
    table: Table | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("@ "):
            table = Table(columns=line.split()[1:])
            grammar.tables.append(table)
        elif line.startswith("== "):
            table = None
            lines = grammar.rules.setdefault(line[3:], [])
        elif table is not None:
            table.rows.append(line.split(";"))
        else:
            lines.append(line)
    return grammar


def with_prefix(prefix: str, pronoun: str) -> dict[str, str]:
    """Pronoun slots of one character, e.g. prefix ``f`` gives ``fhe``, ``fhim``, ``fhis``."""
    return {prefix + slot: word for slot, word in PRONOUNS[pronoun].items()}


def cast_hero(grammar: Grammar, rng: random.Random, is_child: bool) -> dict[str, str]:
    """Choose the main character: a named child, a named animal or an animal without a name."""
    size = grammar.table("size").pick(rng)["size"]
    if is_child:
        row = grammar.table("child").pick(rng)
        name, pronoun = row["child"], row["child_is"]
        kind = "girl" if pronoun == "she" else "boy"
    else:
        row = grammar.table("beast").pick(rng)
        name, pronoun = row["beast"], row["beast_is"]
        kind = grammar.table("animal").pick(rng)["animal"]
    slots = with_prefix("", pronoun) | {"kind": kind}
    if not is_child and rng.random() < 0.35:
        plain = f"{size} and {grammar.table('trait').pick(rng)['trait']}"
        return slots | {
            "hero": f"the little {kind}",
            "dear": f"little {kind}",
            "a_hero": f"a little {kind}",
            "a_plain_hero": plain,
        }
    plain = f"a {size} {kind}"
    return slots | {"hero": name, "dear": name, "a_hero": f"{plain} named {name}", "a_plain_hero": plain}


def cast_friend(grammar: Grammar, rng: random.Random, is_child: bool, hero: dict[str, str]) -> dict[str, str]:
    """Choose a named friend who is not the hero, of the hero's sort (child or animal)."""
    column = "child" if is_child else "beast"
    row = grammar.table(column).pick(rng)
    while row[column] == hero["hero"]:
        row = grammar.table(column).pick(rng)
    name, pronoun = row[column], row[f"{column}_is"]
    kind = "girl" if pronoun == "she" else "boy"
    if not is_child:
        kind = grammar.table("animal").pick(rng)["animal"]
    return with_prefix("f", pronoun) | {"friend": name, "a_friend": f"a {kind} named {name}"}


def cast_others(grammar: Grammar, rng: random.Random, hero_kind: str) -> dict[str, str]:
    """Choose the grown-up of the family, a passer-by who helps and a small animal in need."""
    parent = grammar.table("parent").pick(rng)
    elder = grammar.table("elder").pick(rng)
    while elder["elder"] == hero_kind:
        elder = grammar.table("elder").pick(rng)
    cub = grammar.table("cub").pick(rng)["cub"]
    while cub == hero_kind:
        cub = grammar.table("cub").pick(rng)["cub"]
    return (
        with_prefix("m", parent["parent_is"])
        | with_prefix("w", elder["elder_is"])
        | {
            "mom": parent["parent"],
            "helper": f"the {elder['elder']}",
            "helperkind": elder["elder"],
            "a_helper": f"a {elder['elder_word']} {elder['elder']}",
            "cub": cub,
            "a_cub": f"a {rng.choice(['tiny', 'little', 'small', 'baby'])} {cub}",
        }
    )


class Story:
    """One story: a plot, its characters and everything chosen so far."""

    def __init__(self, grammar: Grammar, rng: random.Random) -> None:
        """Choose the plot and the characters."""
        self.grammar = grammar
        self.rng = rng
        self.plot = rng.choice(grammar.plots)
        is_child = rng.random() < 0.6
        self.slots = cast_hero(grammar, rng, is_child)
        self.slots |= cast_friend(grammar, rng, is_child, self.slots)
        self.slots |= cast_others(grammar, rng, self.slots["kind"])

    def text(self) -> str:
        """Return the finished story."""
        paragraphs = self.expand("story").split(" / ")
        text = "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        return ARTICLE.sub(r"\1n ", text)

    def expand(self, rule: str) -> str:
        """Expand one rule: free choices first, then slots, then the rules it names."""
        text = self.rng.choice(self.grammar.rules[rule])
        while CHOICE.search(text):
            text = CHOICE.sub(lambda match: self.rng.choice(match[1].split("|")), text, count=1)
        text = SLOT.sub(lambda match: self.fill(match[1]), text)
        return RULE.sub(lambda match: self.expand(self.rule_name(match[1], match[2])), text)

    def rule_name(self, star: str, name: str) -> str:
        """Resolve ``<*name>`` to the plot's own rule where it has one, else to the common rule."""
        own = f"{self.plot}.{name}"
        return own if star and own in self.grammar.rules else name

    def fill(self, slot: str) -> str:
        """Return the words of a slot, choosing a row of its table at first use."""
        key = slot.lower() if slot[0].isupper() else slot
        if key not in self.slots:
            self.slots |= self.grammar.table(key).pick(self.rng)
        words = self.slots[key]
        return words[0].upper() + words[1:] if slot[0].isupper() else words


def stories(grammar: Grammar, seed: int) -> Iterator[str]:
    """Yield distinct stories without end."""
    rng = random.Random(seed)
    seen: set[str] = set()
    while True:
        text = Story(grammar, rng).text()
        if text not in seen:
            seen.add(text)
            yield text


def write_stories(path: Path, source: Iterator[str], size: int) -> int:
    """Write stories to ``path`` until it holds about ``size`` bytes; return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = written = 0
    with path.open("w", encoding="utf-8", newline="\n") as out:
        while written < size:
            written += out.write(next(source) + "\n\n")
            count += 1
    return count


def main() -> None:
    """Write the held-out file and the training file from one stream of distinct stories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grammar", type=Path, default=HERE / "grammar.txt")
    parser.add_argument("--out", type=Path, default=HERE / "build" / "train.txt")
    parser.add_argument("--megabytes", type=float, default=10.0, help="size of the training text")
    parser.add_argument("--held-out", type=Path, help="also write stories that are not in the training text")
    parser.add_argument("--held-out-bytes", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=2024)
    args = parser.parse_args()
    source = stories(read_grammar(args.grammar), args.seed)
    held_back = [next(source) for _ in range(args.held_out_bytes // 500)]
    if args.held_out:
        count = write_stories(args.held_out, iter(held_back), args.held_out_bytes)
        print(f"{args.held_out.name}: {count} stories")
    count = write_stories(args.out, source, int(args.megabytes * 1e6))
    print(f"{args.out.name}: {count} stories")


if __name__ == "__main__":
    main()
