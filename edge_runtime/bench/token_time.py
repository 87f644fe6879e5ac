"""Where a token's time goes, from the provider's counters before and after."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edge_runtime.provider import SessionStats


@dataclass(frozen=True)
class TokenTime:
    """Seconds per token, a mean over `tokens` tokens.

    `seconds` = `compute` (products with compressed weights) + `wait` (for weights that were not there yet) + `other`
    (attention, norms, sampling). `read` and `decode` are what the store's threads did meanwhile, added up over the
    threads: they explain a wait. `bytes_read` are those from the weight file, a token.
    """

    tokens: int
    seconds: float
    compute: float
    wait: float
    other: float
    read: float
    decode: float
    bytes_read: float

    @classmethod
    def between(cls, before: SessionStats, after: SessionStats, seconds: float, tokens: int) -> TokenTime:
        """From the counters around `tokens` (at least one) tokens that took `seconds` together."""

        def each(name: str) -> float:
            return float(getattr(after, name) - getattr(before, name)) / tokens

        compute, wait, total = each("compute_ns") / 1e9, each("wait_ns") / 1e9, seconds / tokens
        return cls(
            tokens=tokens,
            seconds=total,
            compute=compute,
            wait=wait,
            other=max(0.0, total - compute - wait),
            read=each("read_ns") / 1e9,
            decode=each("decode_ns") / 1e9,
            bytes_read=each("bytes_read"),
        )

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)
