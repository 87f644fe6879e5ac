"""Runs the tests of a benchmark: turn by turn over the configurations, telemetry beside them, one result at the end."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.bench import environment, page_cache
from edge_runtime.bench.layers import by_layer
from edge_runtime.bench.precision import Precision, missed, rounds
from edge_runtime.bench.results import SCHEMA, SCHEMA_VERSION, label
from edge_runtime.bench.summing import finish_test, machine_share, warnings_of
from edge_runtime.bench.telemetry import Sampler, discover
from edge_runtime.bench.workers import Configuration, Worker
from edge_runtime.errors import ConfigError, LpcError
from edge_runtime.package import Package

EXCLUDED = (
    "opening the model (load_seconds has it)",
    "tokenizing, sampling and printing: token ids are random and fixed",
    "the passes that fill the context to the depth asked for",
)
_TRACED_TOKENS = 9
_EXCLUDED_WARM = "one warm-up of each test"


@dataclass(frozen=True)
class Spec:
    """One thing to time: `tokens` prompt tokens in one go (pp) or one by one (tg), behind `depth` others."""

    kind: str
    tokens: int
    depth: int = 0

    @property
    def name(self) -> str:
        """Its name in llama-bench's way."""
        return f"{self.kind}{self.tokens}" + (f" @ d{self.depth}" if self.depth else "")


@dataclass(frozen=True)
class Settings:
    """What a benchmark does. `say` gets a line of progress at a time.

    With a `precision`, `repetitions` are those of a round: warm rounds have processes of their own, cold ones are one
    repetition each.
    """

    specs: tuple[Spec, ...]
    configurations: tuple[Configuration, ...]
    repetitions: int = 5
    cold: bool = False
    interleave: bool = True
    warm_up: bool = True
    layers: bool = False
    interval_s: float = 0.5
    precision: Precision | None = None
    say: Callable[[str], None] = field(default=lambda line: None)


class Benchmark:
    """One run over one model. `interrupted` tells that Ctrl-C cut it short."""

    def __init__(self, folder: Path, settings: Settings, command: list[str]) -> None:
        """Check the model's folder and what is asked of it; raises ConfigError, FormatError."""
        self._package = Package.open(folder)
        self._folder = folder
        self._settings = settings
        self._command = command
        self._files = [self._package.data_file, self._package.model_file]
        self._tests = [
            _empty_test(spec, configuration, settings.cold)
            for configuration in settings.configurations
            for spec in settings.specs
        ]
        self._checks: list[dict[str, Any]] = []
        self._plan: dict[str, Any] | None = None
        self._layers: list[dict[str, Any]] | None = None
        self.interrupted = False
        for spec in settings.specs:
            if spec.tokens + spec.depth > self._package.context_length:
                raise ConfigError(
                    f"{spec.name}: {spec.tokens + spec.depth} tokens are more than the context of {folder}, "
                    f"which holds {self._package.context_length}; ask for fewer"
                )

    def run(self) -> dict[str, Any]:
        """Measure, and return the result; raises LpcError if nothing at all could be measured."""
        settings = self._settings
        created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        surroundings = environment.environment()
        sources = discover(interval_s=settings.interval_s)
        with Sampler(sources, interval_s=settings.interval_s) as sampler:
            zero = time.monotonic()
            try:
                self._measure(sampler)
                if settings.layers:
                    self._layers = self._trace()
            except KeyboardInterrupt:
                self.interrupted = True
        telemetry = sampler.telemetry()
        surroundings["cpu_busy_others"] = machine_share(self._tests)
        if not any(test["repetitions"] for test in self._tests):
            failures = sorted({test["failed"] for test in self._tests if test.get("failed")})
            raise LpcError("; ".join(failures) or "interrupted before anything was measured")
        for test in self._tests:
            finish_test(test, telemetry, zero)
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "created": created,
            "command": self._command,
            "model": environment.model(self._folder, self._package.manifest),
            "environment": surroundings,
            "board": environment.board(),
            "build": environment.build(),
            "settings": _settings_json(settings),
            "excluded": list(EXCLUDED if settings.cold or not settings.warm_up else (*EXCLUDED, _EXCLUDED_WARM)),
            "check": self._checks[0] if self._checks else {},
            "tests": self._tests,
            "telemetry": telemetry.to_json(zero),
            "plan": self._plan,
            "layers": self._layers,
        }
        result["warnings"] = warnings_of(result, self._checks, self.interrupted)
        result["warnings"] += missed(self._tests, settings.precision)
        return result

    def _measure(self, sampler: Sampler) -> None:
        settings = self._settings
        together = settings.interleave or settings.cold
        groups = [settings.configurations] if together else [(each,) for each in settings.configurations]
        for configurations in groups:
            tests = [test for each in configurations for test in self._tests_of(each)]
            if settings.cold:
                self._check_all(configurations)
            once = self._cold_round if settings.cold else self._warm_round
            least = settings.repetitions if settings.cold else 1
            for number in rounds(settings.precision, least, tests, settings.say):
                once(number, configurations, sampler)

    def _check_all(self, configurations: tuple[Configuration, ...]) -> None:
        for configuration in configurations:
            worker = self._open(configuration)
            if worker is not None:
                with worker:
                    self._check(worker, configuration)

    def _cold_round(self, number: int, configurations: tuple[Configuration, ...], sampler: Sampler) -> None:
        """One repetition of every test, each in a new process behind an empty page cache."""
        for configuration in configurations:
            for test in self._tests_of(configuration):
                if not test.get("failed"):
                    self._repeat_cold(number, test, sampler)

    def _repeat_cold(self, number: int, test: dict[str, Any], sampler: Sampler) -> None:
        page_cache.drop(self._files)
        cached = page_cache.cached_fraction(self._files)
        worker = self._open(Configuration(test["provider"], test["threads"], test["load"]))
        if worker is None:
            return
        with worker:
            extra = {"round": number, "cached_before": cached, "load_seconds": worker.opened["load_seconds"]}
            self._repeat(test, worker, sampler, extra)

    def _warm_round(self, number: int, configurations: tuple[Configuration, ...], sampler: Sampler) -> None:
        """All configurations open at once, taking turns, so that what disturbs the machine disturbs them alike."""
        workers: list[tuple[Worker, list[dict[str, Any]]]] = []
        try:
            for configuration in configurations:
                worker = self._open(configuration)
                if worker is not None:
                    workers.append((worker, self._tests_of(configuration)))
                    if number == 0:
                        self._check(worker, configuration)
            if self._settings.warm_up:
                self._warm_up(workers)
            for _ in range(self._settings.repetitions):
                for worker, tests in workers:
                    for test in tests:
                        if not test.get("failed"):
                            self._repeat(test, worker, sampler, {"round": number})
        except KeyboardInterrupt:
            for worker, _ in workers:
                worker.kill()
            raise
        finally:
            for worker, _ in workers:
                worker.close()

    def _warm_up(self, workers: list[tuple[Worker, list[dict[str, Any]]]]) -> None:
        for worker, tests in workers:
            for test in (test for test in tests if not test.get("failed")):
                self._settings.say(f"{label(test)}: warm-up")
                try:
                    worker.ask(_OPERATIONS[test["kind"]], tokens=test["tokens"], depth=test["depth"])
                except LpcError as error:
                    test["failed"] = str(error)

    def _trace(self) -> list[dict[str, Any]] | None:
        """Seconds per layer of the first configuration with our provider, from a short generation of its own."""
        configuration = next((each for each in self._settings.configurations if each.provider == "lpc"), None)
        if configuration is None:
            return None
        self._settings.say(f"{configuration.describe()}: seconds per token by layer")
        with tempfile.TemporaryDirectory(prefix="lpc-bench-") as folder:
            trace = Path(folder) / "trace.json"
            traced = Configuration("lpc", configuration.threads, {**configuration.load, "trace": str(trace)})
            with Worker(self._folder, traced) as worker:
                worker.ask("generate", tokens=min(_TRACED_TOKENS, self._package.context_length), depth=0)
            return by_layer(trace, {layer.index: layer.name for layer in self._package.layers}) or None

    def _open(self, configuration: Configuration) -> Worker | None:
        """Open a worker; None, with the tests marked as failed, if the model cannot be opened that way."""
        tests = self._tests_of(configuration)
        try:
            worker = Worker(self._folder, configuration)
        except LpcError as error:
            self._settings.say(f"{configuration.describe()}: {error}")
            for test in tests:
                test["failed"] = str(error)
            return None
        for test in tests:
            test.setdefault("load_seconds", worker.opened["load_seconds"])
        self._plan = self._plan or worker.opened["plan"]
        return worker

    def _check(self, worker: Worker, configuration: Configuration) -> None:
        """Let it generate a few tokens before anything is timed: they must be the same for all configurations."""
        try:
            self._checks.append({"configuration": configuration.describe(), **worker.ask("check")})
        except LpcError as error:
            for test in self._tests_of(configuration):
                test["failed"] = str(error)

    def _repeat(self, test: dict[str, Any], worker: Worker, sampler: Sampler, extra: dict[str, Any]) -> None:
        sampler.watch(worker.pid)
        try:
            answer = worker.ask(_OPERATIONS[test["kind"]], tokens=test["tokens"], depth=test["depth"])
        except LpcError as error:
            test["failed"] = str(error)
            self._settings.say(f"{label(test)}: {error}")
            return
        finally:
            sampler.watch(None)
        seconds = sum(answer["pass_seconds"])
        test["repetitions"].append({"seconds": seconds, "tokens_per_s": test["tokens"] / seconds, **answer, **extra})
        of = "" if self._settings.precision else f" of {self._settings.repetitions}"
        done = f"{len(test['repetitions'])}{of}"
        self._settings.say(f"{label(test)}: {done}: {test['tokens'] / seconds:.2f} tokens/s")

    def _tests_of(self, configuration: Configuration) -> list[dict[str, Any]]:
        key = (configuration.provider, configuration.threads, configuration.load)
        return [test for test in self._tests if (test["provider"], test["threads"], test["load"]) == key]


_OPERATIONS = {"pp": "prompt", "tg": "generate"}


def _empty_test(spec: Spec, configuration: Configuration, cold: bool) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "tokens": spec.tokens,
        "depth": spec.depth,
        "threads": configuration.threads,
        "provider": configuration.provider,
        "load": dict(configuration.load),
        "mode": "cold" if cold else "warm",
        "repetitions": [],
    }


def _settings_json(settings: Settings) -> dict[str, Any]:
    return {
        "repetitions": settings.repetitions,
        "mode": "cold" if settings.cold else "warm",
        "order": "interleaved" if settings.interleave or settings.cold else "sequential",
        "warm_up": settings.warm_up and not settings.cold,
        "telemetry_interval_s": settings.interval_s,
        "precision": settings.precision.share if settings.precision else None,
        "at_most_s": settings.precision.at_most_s if settings.precision else None,
    }
