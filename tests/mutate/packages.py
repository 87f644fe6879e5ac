"""Exported folders: mutated, then run, verified, planned or inspected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

from mutate import bases, bytes_, child, files_, graph_, json_, sealing, verdict
from mutate.blob_ import BLOB_CHANGES, exchanged, on_blob
from mutate.cases import Case, Mutators, Weights, mutate
from mutate.child import Done
from mutate.verdict import FAILED, OTHER, SAME, WARNED, Verdict, failed

TOKENS = 5
GRAPH, DATA, MANIFEST = "model.onnx", "model.lpc", "lpc.json"
_RUN = ("-n", str(TOKENS), "--greedy", "--json")
_MANNERS = {
    "run": ("--threads", "1"),
    "two": ("--threads", "2"),
    "cpu": ("--threads", "1", "--provider", "cpu"),
    "stored": ("--threads", "1", "--transcode", "off"),
    "budget": ("--threads", "1", "--memory-budget", "400MB", "--read-mode", "buffered"),
}
_ON_BYTES = (bytes_.flipped, bytes_.cut, bytes_.extended, bytes_.overwritten)


def mutators() -> Mutators:
    """Every mutation of a package, with its weight."""
    found: Mutators = {
        "manifest": (json_.on_json("lpc.json"), 16),
        "configuration": (json_.on_json("genai_config.json"), 12),
        "tokenizer": (json_.on_json("tokenizer*.json"), 10),
        "graph": (graph_.on_graph(GRAPH, *graph_.CHANGES), 30),
        "exchanged": (exchanged, 1),
        "swapped": (files_.swapped, 2),
        "gone": (files_.gone, 1),
        "no hashes": (sealing.forget, 1),
        "replaced": (files_.replaced, 6),
        "added": (files_.added, 2),
        "recoded": (bytes_.on_file(bytes_.recoded), 2),
    }
    for change in _ON_BYTES:
        found[change.__name__] = (bytes_.on_file(change), 3)
        found[f"graph {change.__name__}"] = (bytes_.on_file(change, GRAPH), 2)
    for blob_change, weight in BLOB_CHANGES:
        found[f"blob {blob_change.__name__}"] = (on_blob(blob_change), 2 * weight)
    return found


class Packages:
    """The kind `package`."""

    name = "package"
    mutators: ClassVar[Mutators] = mutators()
    manners: ClassVar[Weights] = {
        "run": 60,
        "two": 4,
        "cpu": 14,
        "stored": 8,
        "budget": 3,
        "plan": 2,
        "inspect": 3,
        "verify": 6,
    }
    bases = tuple(bases.PACKAGES)

    def __init__(self, only: tuple[str, ...] = ()) -> None:
        self.bases = only or self.bases
        self._folders: dict[str, Path] = {}
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def prepare(self, place: Path) -> None:
        """Export the bases, and run each in every manner."""
        made = {base: bases.PACKAGES[base] for base in self.bases}
        sources = bases.write({source for source, _ in made.values()}, place / "checkpoints")
        for base, (source, options) in made.items():
            out = place / "packages" / base
            done = export(sources[source], out, *options)
            assert done.status == 0, f"{base}: {done.stderr}"
            self._folders[base] = out
            for manner in _MANNERS:
                done = self._run(base, out, manner)
                assert done.status == 0, f"{base}, {manner}: {done.status} {done.stderr}"
                self._known[base, manner] = _tokens(done)

    def attempt(self, case: Case, place: Path) -> Verdict:
        """Mutate a copy, use it, judge."""
        folder = place / "input"
        shutil.copytree(self._folders[case.base], folder)
        mutate(self, case, folder)
        if case.sealed_anew:
            sealing.seal(folder)
        if case.manner in _MANNERS:
            return self._generated(case, folder, case.manner)
        done = child.run(*_command(case, folder))
        said = verdict.of_end(done, "lpc-run" if case.manner == "plan" else "lpc-export")
        if said is not None or case.manner != "verify":
            return said or Verdict(SAME)
        ran = self._generated(case, folder, "run")
        if ran.outcome == WARNED and not verdict.warned_of(done, sealing.changed(folder, self._folders[case.base])):
            return failed("verify finds nothing, but lpc-run warns of a change")
        return ran

    def script(self, case: Case) -> str:
        """How the kept input is used."""
        if case.manner in _MANNERS:
            options = " ".join((*_RUN, *_MANNERS[case.manner]))
            return f"lpc-run input -p '{bases.prompt(case.base)}' {options}"
        return {
            "plan": "lpc-run input --plan --memory-budget 400MB",
            "inspect": "lpc-export inspect input --json",
            "verify": "lpc-export verify input",
        }[case.manner]

    def _generated(self, case: Case, folder: Path, manner: str) -> Verdict:
        """Generate, and compare with what the unmutated package gives."""
        done = self._run(case.base, folder, manner)
        said = verdict.of_end(done, "lpc-run")
        if said is not None:
            return said
        try:
            got, known = _tokens(done), self._known[case.base, manner]
        except (ValueError, KeyError) as error:
            return failed(f"exit code 0, and stdout is no result ({error}): {done.stdout[:200]!r}")
        if got == known or _cut_short(got, known, folder):
            return Verdict(SAME)
        base = self._folders[case.base]
        if verdict.warned_of(done, sealing.changed(folder, base) - {GRAPH, DATA}):
            return Verdict(WARNED)
        if not sealing.is_sealed(folder, base):
            return self._other(case, folder, got)
        return failed(
            f"other tokens without a word: {got} instead of {known}; changed: {sealing.changed(folder, base)}"
        )

    def _other(self, case: Case, folder: Path, got: dict[str, Any]) -> Verdict:
        """Another model, validly sealed: the second implementation, the fallback op, must get the same from it."""
        done = self._run(case.base, folder, "cpu")
        said = verdict.of_end(done, "lpc-run")
        if said is not None and said.outcome == FAILED:
            return said
        if said is not None:
            return failed(f"the provider gives tokens, the fallback refuses: {said.reason[:200]}")
        again = _tokens(done)
        if "tokenizer.json" in sealing.changed(folder, self._folders[case.base]):
            got, again = _without_text(got), _without_text(again)  # of two tokens with one number it has either
        if again != got:
            return failed(f"the provider gives {got}, the fallback {again}")
        return Verdict(OTHER)

    def _run(self, base: str, folder: Path, manner: str) -> Done:
        from edge_runtime.cli.run import main

        arguments = [folder.name, "-p", bases.prompt(base), *_RUN, *_MANNERS[manner]]
        return child.run(main, arguments, folder.parent)


def export(source: Path, out: Path, *options: str) -> Done:
    """Run lpc-export in the folder above `out`."""
    from exporters.cli import main

    out.parent.mkdir(parents=True, exist_ok=True)
    return child.run(main, [str(source), "-o", out.name, "--threads", "1", *options], out.parent)


def _command(case: Case, folder: Path) -> tuple[Any, list[str], Path]:
    import edge_runtime.cli.run
    import exporters.cli

    if case.manner == "plan":
        return edge_runtime.cli.run.main, ["input", "--plan", "--memory-budget", "400MB"], folder.parent
    options = ["--json"] if case.manner == "inspect" else ["--threads", "1"]
    return exporters.cli.main, [case.manner, "input", *options], folder.parent


def _tokens(done: Done) -> dict[str, Any]:
    """What a run generated."""
    values = json.loads(done.stdout)
    return {name: values[name] for name in ("token_ids", "text", "prompt_tokens")}


def _without_text(tokens: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tokens.items() if name != "text"}


def _cut_short(got: dict[str, Any], known: dict[str, Any], folder: Path) -> bool:
    """Whether these are the first tokens, up to the end of a context that the manifest now makes smaller."""
    length = json.loads((folder / MANIFEST).read_bytes()).get("context_length")
    count = len(got["token_ids"])
    whole = got["prompt_tokens"] == known["prompt_tokens"] and length == known["prompt_tokens"] + count
    return whole and count < len(known["token_ids"]) and got["token_ids"] == known["token_ids"][:count]
