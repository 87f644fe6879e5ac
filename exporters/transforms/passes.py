"""The passes over one plan: what each weight becomes, decided before the first one is written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ExportError
from edge_runtime.io.terminal import Progress
from exporters.checkpoints import dtypes
from exporters.graphs.builder import Graph
from exporters.graphs.onnx_graph import OnnxGraph
from exporters.planning.plan import Plan
from exporters.transforms import prune, scale
from exporters.transforms.calibrate import Calibration
from exporters.transforms.compensate import Moments, compensated
from exporters.transforms.options import LossyOptions
from exporters.transforms.quantize import (
    ROW,
    TENSOR,
    chunks,
    counts,
    entropy_bits,
    integers,
    largest,
    scales_of,
    spread,
)
from exporters.transforms.record import Found
from exporters.transforms.structure import RowsFold, Site, changeable, factors_of, sites

Floats = NDArray[np.float32]

_SAMPLE_ROWS = 96
_STEPS = (0.0, 4.0)  # relative to the root mean square: as fine as eight bits allow; everything is zero
_BISECTIONS = 20
_BLOB_BITS = 8 * 640  # header, table and padding of a blob
_LEAST_WEIGHTS = 1 << 12  # smaller matrices stay as they are


class Transform:
    """Rewrites the weights of a plan as they are read. The plan's graph is changed when this is made.

    An ONNX graph is not scaled: what makes a product's input is not known. Raises ExportError for a plan whose weights
    are not floats, and for a target that cannot be reached.
    """

    def __init__(
        self, plan: Plan, options: LossyOptions, calibration: Calibration, moments: Moments | None = None
    ) -> None:
        self.options, self._calibration = options, calibration
        self._moments = moments if options.compensate else None
        self._plan, self._graph = plan, changeable(plan)
        factors = factors_of(self._graph)
        names = [n for n, weight in self._graph.weights.items() if len(weight.shape) == 2 and not weight.fixed]
        self._names = [n for n in names if np.prod(self._graph.weights[n].shape) >= _LEAST_WEIGHTS]
        # What is looked up in a table, or tied to one, is not pruned; a head is what tells the tokens apart.
        last = len(self._graph.layers) - 1
        self._prunable = [
            n for n in self._names
            if n in factors and len(self._graph.uses(n)) == 1 and self._graph.weights[n].layer != last
        ]  # fmt: skip
        # An ONNX graph stores the rows of products as outputs by itself.
        self._turned = set() if isinstance(self._graph, OnnxGraph) else {
            n for n in self._names
            if n in factors and not self._graph.is_transposed(n) and len(self._graph.uses(n)) == 1
        }  # fmt: skip
        self._factors = scale.Factors()
        self._strengths: list[scale.Strength] = []
        self._threshold = 0.0
        self._norms: dict[str, float] = {}
        self._found: dict[str, Found] = {}
        self._prepare()

    # ---- what the writer asks ----

    @property
    def key(self) -> str:
        """Identifies the passes, what they were decided from, and what was decided for all weights together."""
        asked = dataclasses.asdict(self.options) | {"calibration": self._calibration.digest()}
        for place in ("text", "reference", "measure"):
            asked.pop(place)
        decided = [self._threshold, sorted(self._norms.items()), self._step, self._factors.digest()]
        return json.dumps([asked, decided], default=str, sort_keys=True)

    def weight(self, name: str, array: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
        """Return what becomes of a weight, how many elements changed, and the bytes of its scales."""
        if name not in self._names:
            return array, 0, 0
        stored = array.T if name in self._turned else array
        if self.options.quantize:
            return self._quantized(name, stored)
        return self._only_pruned(name, stored)

    def found(self, name: str) -> dict[str, Any]:
        """Return, for JSON, what `restore` takes. The scales, which the graph has, are let go."""
        if name not in self._found:
            return {}
        found = self._found[name].as_dict()
        self._found[name].scales = None
        return found

    def restore(self, name: str, found: dict[str, Any]) -> bool:
        """Take a weight over that another process has written; False if it is not as the passes would leave it."""
        if name not in self._names:
            return not found
        try:
            taken = Found.of(found)
        except (KeyError, TypeError, ValueError):
            return False
        if self.options.quantize:
            if taken.scales is None or taken.scales.size != self._scale_count(name):
                return False
            self._graph.fill_scales(name, taken.scales)
            taken.scales = None
        self._found[name] = taken
        return True

    def parameter(self, name: str, array: Floats) -> Floats:
        """Return what becomes of a small tensor."""
        if name not in self._factors.parameters:
            return array
        factors, offset = self._factors.parameters[name]
        return np.asarray((array + np.float32(offset)) * factors - np.float32(offset), np.float32)

    def report(self) -> list[dict[str, Any]]:
        """What each pass changed, for the manifest; complete once every weight was written."""
        passes: list[dict[str, Any]] = []
        if self.options.calibrates:
            passes.append({"pass": "calibrate", "tokens": self._calibration.tokens})
        if self._strengths:
            passes.append(self._scaling_report())
        every = self._found.values()
        if self.options.pruning is not None:
            asked = dataclasses.asdict(self.options.pruning)
            pruned = sum(each.pruned for each in every)
            sparsity = round(sum(each.zeros for each in every) / max(pruned, 1), 6)
            found = {"weights": pruned, "zeros": sparsity, "compensated": self._moments is not None}
            passes.append({"pass": "prune", **asked, **found})
        if self.options.quantize:
            quantized = sum(each.quantized for each in every)
            pooled = sum(entropy_bits(each.counts) * each.quantized for each in every if each.counts is not None)
            passes.append(
                {
                    "pass": "quantize", "dtype": "int8", "granularity": self.options.granularity,
                    "step": round(self._step, 6), "compensated": self._moments is not None,
                    "weights": quantized,
                    "entropy_bits": round(pooled / max(quantized, 1), 4),
                }
            )  # fmt: skip
        return passes

    # ---- deciding ----

    def _prepare(self) -> None:
        if isinstance(self._graph, Graph):
            for name in self._turned:
                self._graph.transpose_stored(name)
        self._refuse_not_finite()
        self._step = self.options.step
        if self.options.pruning is not None and self.options.pruning.pattern == "total":
            self._find_threshold()
        if not self.options.quantize:
            return
        target = self.options.target_bits
        samples = {name: self._sample(name) for name in self._names}
        if target is not None:
            self._step = self._step_for(target, samples, lambda name, step: step)
        if self.options.scaling and isinstance(self._graph, Graph):
            found = [site for site in sites(self._graph) if self._can_scale(site)]
            self._factors, self._strengths = scale.search(
                found, self._calibration.activations, samples.__getitem__, self.options.group, lambda name: self._step
            )
        if target is not None and self._strengths:
            self._scale_steps(target, samples)
        for name in self._names:
            self._graph.dequantize(name, self.options.group)

    def _can_scale(self, site: Site) -> bool:
        """Every weight that would take a factor must be one that is rewritten here."""
        takers = {site.fold.tensor} if isinstance(site.fold, RowsFold) else set()
        return {*site.tensors, *takers} <= set(self._names)

    def _scale_steps(self, target: float, samples: dict[str, Floats]) -> None:
        """Scaling saved bits at the same error; spend them on a smaller error: all steps shrink by one factor."""
        steps = {name: self._factors.steps.get(name, self._step) for name in self._names}
        base = max(steps.values())
        factor = self._step_for(target, samples, lambda name, step: steps[name] * step / max(base, 1e-9))
        self._factors.steps = {name: steps[name] * factor / max(base, 1e-9) for name in self._names}
        self._step = factor

    def _step_for(self, target: float, samples: dict[str, Floats], relative: Callable[[str, float], float]) -> float:
        """Bisect the step that gives `target` bits a weight, entropy and scales counted."""
        low, high = _STEPS
        finest, coarsest = self._bits(samples, relative, low), self._bits(samples, relative, high)
        if finest <= target:
            return low
        if coarsest > target:
            raise ExportError(f"{target:g} bits a weight cannot be reached: the nearest is {coarsest:.2f}")
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._bits(samples, relative, middle) > target else (low, middle)
        return high

    def _bits(self, samples: dict[str, Floats], relative: Callable[[str, float], float], step: float) -> float:
        """Estimated bits a weight of all tensors with this step."""
        total = elements = 0.0
        group = self.options.group
        for name, sample in samples.items():
            size = int(np.prod(self._graph.weights[name].shape))
            scaled = self._scaled(name, sample)
            scales = scales_of(largest(scaled, group), relative(name, step) * scale.root_mean_square(scaled))
            bits = entropy_bits(counts(integers(scaled, scales, group)))
            total += bits * size + 32 * self._scale_count(name) + _BLOB_BITS
            elements += size
        return total / max(elements, 1)

    def _scale_count(self, name: str) -> int:
        rows, columns = self._graph.weights[name].shape
        if self.options.group == TENSOR:
            return 1
        return rows if self.options.group == ROW else rows * -(-columns // self.options.group)

    def _sample(self, name: str) -> Floats:
        """Some rows of a weight as it is stored, pruned as it will be; evenly spread."""
        array = self._plan.tensors.read(name)
        stored = array.T if name in self._turned else array
        at = np.unique(np.linspace(0, len(stored) - 1, _SAMPLE_ROWS).astype(np.int64))
        rows = np.ascontiguousarray(stored[at]).astype(np.float32)
        self._plan.tensors.release(name)
        if name in self._prunable and self.options.pruning is not None:
            rows[self._mask(name, rows)] = 0
        return rows

    def _refuse_not_finite(self) -> None:
        infos = self._plan.tensors.tensors
        with Progress("looking for NaN and Inf", sum(infos[name].nbytes for name in self._names)) as progress:
            for name in self._names:
                found = dtypes.not_finite(self._plan.tensors.read(name))
                if found:
                    raise ExportError(f"{infos[name].file}: {name} holds {found}: it cannot be quantized or pruned")
                self._plan.tensors.release(name)
                progress.advance(infos[name].nbytes)

    def _find_threshold(self) -> None:
        """Of `total`: scores of a weight count relative to their root mean square in it."""
        assert self.options.pruning is not None
        total = np.zeros(1, np.int64)
        for name in self._prunable:
            rows = self._plan.tensors.read(name)
            rows = np.ascontiguousarray(rows.T if name in self._turned else rows).astype(np.float32)
            scores = np.abs(rows) * self._channels(name)
            self._norms[name] = scale.root_mean_square(scores)
            total = total + prune.histogram(scores, self._norms[name])
            self._plan.tensors.release(name)
        self._threshold = prune.threshold_of(total, self.options.pruning.sparsity)

    # ---- doing ----

    def _channels(self, name: str) -> Floats:
        assert self.options.pruning is not None
        if self.options.pruning.score == "magnitude":
            return np.ones(self._graph.weights[name].shape[1], np.float32)
        return prune.channel_weights(self._calibration.of(name), self.options.pruning.score)

    def _mask(self, name: str, rows: Floats, columns: slice = slice(None)) -> NDArray[np.bool_]:
        assert self.options.pruning is not None
        threshold = self._threshold * self._norms.get(name, 1.0)
        return prune.pruned(rows, self._channels(name)[columns], self.options.pruning, threshold)

    def _rows(self, name: str, stored: NDArray[Any], part: slice) -> tuple[Floats, int]:
        """Rows as float32, pruned and scaled, and how many became zero."""
        rows, zeros = np.array(stored[part], np.float32, order="C"), 0
        if name in self._prunable and self.options.pruning is not None:
            mask = self._mask(name, rows)
            zeros = int(np.count_nonzero(mask))
            rows[mask] = 0
        return self._scaled(name, rows, part), zeros

    def _scaled(self, name: str, rows: Floats, part: slice | None = None) -> Floats:
        if name in self._factors.columns:
            rows = rows * self._factors.columns[name]
        # A row's own factor goes into its scale, where it changes no integer; one scale for all has no room for it.
        if name in self._factors.rows and part is not None and self.options.group == TENSOR:
            rows = rows * self._factors.rows[name][part, None]
        return rows

    def _quantized(self, name: str, stored: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
        group = self.options.group
        squares, covered = 0.0, []
        for part in chunks(*stored.shape):
            rows, _ = self._rows(name, stored, part)
            covered.append(largest(rows, group))
            squares += float(np.square(rows, dtype=np.float64).sum())
        every = np.asarray(np.max(covered) if group == TENSOR else np.concatenate(covered), np.float32)
        step = self._factors.steps.get(name, self._step) * float(np.sqrt(squares / max(stored.size, 1)))
        scales = scales_of(every, step)
        values = np.empty(stored.shape, np.int8)
        found = Found(pruned=values.size if name in self._prunable and self.options.pruning else 0)
        for part in chunks(*stored.shape):
            rows, zeros = self._final(name, stored, part, scales if group == TENSOR else scales[part])
            found.zeros += zeros
            values[part] = integers(rows, scales if group == TENSOR else scales[part], group)
        if name in self._factors.rows and group != TENSOR:
            by_row = self._factors.rows[name]
            scales = scales * (by_row if group == ROW else by_row[:, None])
        found.counts, found.scales = counts(values), scales
        self._found[name] = found
        return values, values.size, self._graph.fill_scales(name, scales)

    def _only_pruned(self, name: str, stored: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
        if name not in self._prunable:
            self._found[name] = Found()
            return np.ascontiguousarray(stored), 0, 0
        result = np.array(stored, order="C")
        found, changed = Found(pruned=result.size), 0
        for part in chunks(*stored.shape):
            rows, zeros = self._final(name, stored, part, None)
            result[part] = rows.astype(stored.dtype)
            changed += int(np.count_nonzero(result[part] != stored[part]))
            found.zeros += zeros
        self._found[name] = found
        return result, changed, 0

    def _final(self, name: str, stored: NDArray[Any], part: slice, scales: Floats | None) -> tuple[Floats, int]:
        """Rows as they will be but for the last rounding, and how many became zero."""
        prunes = name in self._prunable and self.options.pruning is not None
        if self._moments is None or not self._moments.knows(name) or not (prunes or scales is not None):
            return self._rows(name, stored, part)
        rows = self._scaled(name, np.array(stored[part], np.float32, order="C"), part)
        steps = None if scales is None else spread(scales, self.options.group, rows.shape[1])
        column = self._factors.columns.get(name)

        def choose(block: Floats, columns: slice) -> NDArray[np.bool_]:
            return self._mask(name, block if column is None else block / column[columns], columns)

        return compensated(rows, self._moments.factor(name, column), choose if prunes else None, steps)

    def _scaling_report(self) -> dict[str, Any]:
        used = [entry for entry in self._strengths if entry.strength]
        return {
            "pass": "scale",
            "activations": len(self._strengths),
            "rescaled": len(used),
            "bits_before": round(float(np.mean([entry.bits_before for entry in self._strengths])), 4),
            "bits_after": round(float(np.mean([entry.bits_after for entry in self._strengths])), 4),
        }
