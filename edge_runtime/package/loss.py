"""What an exported model lost, in a line: from the manifest's `lossy` (docs/format.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_runtime.io.printable import printable

_LONGEST = 600  # characters


def lossy_line(manifest: Mapping[str, Any]) -> str:
    """Say what was done to a model that is not lossless and what it cost; "" for a lossless one.

    The manifest is checked; its texts are shown as far as they fit a line.
    """
    if manifest.get("lossless", True):
        return ""
    lossy = manifest.get("lossy")
    if not isinstance(lossy, dict):
        return "weights were rounded to another dtype"
    line = printable(headline(lossy.get("passes") or [], lossy.get("loss")))
    return line if len(line) <= _LONGEST else line[:_LONGEST] + ".."


def headline(passes: Sequence[Mapping[str, Any]], loss: Mapping[str, Any] | None) -> str:
    """The same from its parts."""
    done = ", ".join(filter(None, map(_pass_line, passes)))
    if loss is None:
        return f"{done}; the loss was not measured"
    return (
        f"{done}; perplexity {loss['perplexity_change']['value']:+.2%}, KL {loss['kl']['value']:.4g} nats, same top "
        f"token {loss['top1_agreement']['value']:.1%} on {loss['text']} ({loss['tokens']:,} tokens)"
    )


def _pass_line(entry: Mapping[str, Any]) -> str:
    if entry["pass"] == "prune":
        of = f"{entry['weights'] / 1e6:.3g} M weights"
        return f"{entry['zeros']:.1%} of {of} pruned ({entry['pattern']}, {entry['score']})"
    if entry["pass"] == "quantize":
        return f"int8 by {entry['granularity']} ({entry['entropy_bits']:.2f} bits of entropy)"
    if entry["pass"] == "scale":
        return f"{entry['rescaled']} of {entry['activations']} activations rescaled"
    return ""
