"""What `lpc-export` says of a finished export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_runtime.io.sheet import Column, Sheet, Table
from edge_runtime.io.units import format_bytes, format_rate, format_seconds
from edge_runtime.machine.memory import peak_rss_bytes

if TYPE_CHECKING:
    from exporters.export import ExportResult


def figures(result: ExportResult) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "out": str(result.out),
        "model_type": result.model_type,
        "tensors": result.tensors,
        "layers": result.layers,
        "source_bytes": result.source_bytes,
        "blob_bytes": result.blob_bytes,
        "ratio": round(result.blob_bytes / max(result.source_bytes, 1), 4),
        "bits_per_weight": result.bits_per_weight,
        "codecs": result.codecs,
        "choices": result.choices,
        "encode_seconds": round(result.encode_seconds, 3),
        "verify_seconds": round(result.verify_seconds, 3),
        "seconds": round(result.seconds, 3),
        "mb_per_s": round(result.mb_per_s, 1),
        "peak_rss_bytes": peak_rss_bytes(),
        "verified": result.verified,
        "lossless": result.lossless,
        "plain": result.plain,
        "resumed": result.resumed,
        "passes": result.passes,
        "loss": result.loss,
        "warnings": list(result.warnings),
    }


def sheet(result: ExportResult) -> Sheet:
    """Return the same for people."""

    def speed(seconds: float) -> str:
        return format_rate(result.source_bytes / max(seconds, 1e-9))

    phases = f"encode {speed(result.encode_seconds)}"
    if result.verified:
        phases += f", verify {speed(result.verify_seconds)}"
    peak = peak_rss_bytes()
    codecs = ", ".join(f"{name} {count}" for name, count in sorted(result.codecs.items()))
    rows = [
        ("out", str(result.out)),
        ("model", f"{result.model_type}, {result.layers} layers, {result.tensors} weights"),
        ("source", format_bytes(result.source_bytes)),
        ("compressed", f"{format_bytes(result.blob_bytes)} ({_ratio(result):.1%} of the source)"),
        ("bits per weight", f"{result.bits_per_weight:.2f}"),
        ("codecs", codecs + _why(result)),
        ("time", f"{format_seconds(result.seconds)}, {format_rate(result.mb_per_s * 1e6)} ({phases})"),
        ("peak memory", "unknown" if peak is None else format_bytes(peak)),
        ("verified", "yes, bit for bit" if result.verified else "no (--no-verify)"),
        ("lossless", "yes" if result.lossless else "no"),
        *_lossy_rows(result),
    ]
    return Sheet([Table([Column(), Column()], rows, headed=False)])


def _lossy_rows(result: ExportResult) -> list[tuple[str, str]]:
    if not result.passes:
        return []
    from edge_runtime.package.loss import headline

    return [("lossy", headline(result.passes, result.loss))]


def _ratio(result: ExportResult) -> float:
    return result.blob_bytes / max(result.source_bytes, 1)


def _why(result: ExportResult) -> str:
    """The first reason that led to each codec where `auto` chose; --json has that of every tensor."""
    first: dict[str, str] = {}
    for reason in result.choices.values():
        first.setdefault("stored" if "would save" in reason else reason.split()[0], reason)
    return f" ({'; '.join(first.values())})" if first else ""
