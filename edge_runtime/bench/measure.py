"""Runs the tests of a benchmark: turn by turn over the configurations, telemetry beside them, one result at the end."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_runtime.bench import environment, page_cache
from edge_runtime.bench.layers import by_layer
from edge_runtime.bench.precision import Precision, missed, rounds
from edge_runtime.bench.records import PlanRecord, SettingsRecord
from edge_runtime.bench.results import Check, LayerTime, Result, Test
from edge_runtime.bench.running import RunningTest, Spec
from edge_runtime.bench.summing import finished, machine_share, warnings_of
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
            RunningTest(spec, configuration, "cold" if settings.cold else "warm")
            for configuration in settings.configurations
            for spec in settings.specs
        ]
        self._checks: list[Check] = []
        self._plan: PlanRecord | None = None
        self._layers: tuple[LayerTime, ...] | None = None
        self._zero = 0.0
        self.interrupted = False
        for spec in settings.specs:
            if spec.tokens + spec.depth > self._package.context_length:
                raise ConfigError(
                    f"{spec.name}: {spec.tokens + spec.depth} tokens are more than the context of {folder}, "
                    f"which holds {self._package.context_length}; ask for fewer"
                )

    def run(self) -> Result:
        """Measure, and return the result; raises LpcError if nothing at all could be measured."""
        settings = self._settings
        created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        surroundings = environment.environment()
        sources = discover(interval_s=settings.interval_s)
        with Sampler(sources, interval_s=settings.interval_s) as sampler:
            self._zero = time.monotonic()
            try:
                self._measure(sampler)
                if settings.layers:
                    self._layers = self._trace()
            except KeyboardInterrupt:
                self.interrupted = True
        telemetry = sampler.telemetry()
        tests = [test.so_far() for test in self._tests]
        if not any(test.repetitions for test in tests):
            failures = sorted({test.failed for test in tests if test.failed})
            raise LpcError("; ".join(failures) or "interrupted before anything was measured")
        result = Result(
            created=created,
            command=tuple(self._command),
            model=environment.model(self._folder, self._package.manifest),
            environment=replace(surroundings, cpu_busy_others=machine_share(tests)),
            board=environment.board(),
            build=environment.build(),
            settings=_settings_record(settings),
            excluded=EXCLUDED if settings.cold or not settings.warm_up else (*EXCLUDED, _EXCLUDED_WARM),
            check=self._checks[0] if self._checks else Check(),
            tests=tuple(finished(test, telemetry, self._zero) for test in tests),
            telemetry=telemetry.record(self._zero),
            plan=self._plan,
            layers=self._layers,
            warnings=(),
        )
        warnings = warnings_of(result, self._checks, self.interrupted) + missed(tests, settings.precision)
        return replace(result, warnings=tuple(warnings))

    def _measure(self, sampler: Sampler) -> None:
        settings = self._settings
        together = settings.interleave or settings.cold
        groups = [settings.configurations] if together else [(each,) for each in settings.configurations]
        for configurations in groups:
            if settings.cold:
                self._check_all(configurations)
            once = self._cold_round if settings.cold else self._warm_round
            least = settings.repetitions if settings.cold else 1
            for number in rounds(settings.precision, least, self._so_far_of(configurations), settings.say):
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
                if not test.failed:
                    self._repeat_cold(number, test, sampler)

    def _repeat_cold(self, number: int, test: RunningTest, sampler: Sampler) -> None:
        page_cache.drop(self._files)
        cached = page_cache.cached_fraction(self._files)
        worker = self._open(test.configuration)
        if worker is None:
            return
        with worker:
            self._repeat(number, test, worker, sampler, cached, worker.opened.load_seconds)

    def _warm_round(self, number: int, configurations: tuple[Configuration, ...], sampler: Sampler) -> None:
        """All configurations open at once, taking turns, so that what disturbs the machine disturbs them alike."""
        workers: list[tuple[Worker, list[RunningTest]]] = []
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
                        if not test.failed:
                            self._repeat(number, test, worker, sampler)
        except KeyboardInterrupt:
            for worker, _ in workers:
                worker.kill()
            raise
        finally:
            for worker, _ in workers:
                worker.close()

    def _warm_up(self, workers: list[tuple[Worker, list[RunningTest]]]) -> None:
        for worker, tests in workers:
            for test in (test for test in tests if not test.failed):
                self._settings.say(f"{test.label}: warm-up")
                try:
                    worker.time(test.spec.kind, test.spec.tokens, test.spec.depth)
                except LpcError as error:
                    test.failed = str(error)

    def _trace(self) -> tuple[LayerTime, ...] | None:
        """Seconds per layer of the first configuration with our provider, from a short generation of its own."""
        configuration = next((each for each in self._settings.configurations if each.provider == "lpc"), None)
        if configuration is None:
            return None
        self._settings.say(f"{configuration.describe()}: seconds per token by layer")
        with tempfile.TemporaryDirectory(prefix="lpc-bench-") as folder:
            trace = Path(folder) / "trace.json"
            traced = Configuration("lpc", configuration.threads, {**configuration.load, "trace": str(trace)})
            with Worker(self._folder, traced) as worker:
                worker.time("tg", min(_TRACED_TOKENS, self._package.context_length), 0)
            return tuple(by_layer(trace, {layer.index: layer.name for layer in self._package.layers})) or None

    def _open(self, configuration: Configuration) -> Worker | None:
        """Open a worker; None, with the tests marked as failed, if the model cannot be opened that way."""
        tests = self._tests_of(configuration)
        try:
            worker = Worker(self._folder, configuration)
        except LpcError as error:
            self._settings.say(f"{configuration.describe()}: {error}")
            for test in tests:
                test.failed = str(error)
            return None
        for test in tests:
            if test.load_seconds is None:
                test.load_seconds = worker.opened.load_seconds
        self._plan = self._plan or worker.opened.plan
        return worker

    def _check(self, worker: Worker, configuration: Configuration) -> None:
        """Let it generate a few tokens before anything is timed: they must be the same for all configurations."""
        try:
            found = worker.check()
        except LpcError as error:
            for test in self._tests_of(configuration):
                test.failed = str(error)
            return
        name = configuration.describe()
        self._checks.append(Check(configuration=name, prompt_ids=found.prompt_ids, token_ids=found.token_ids))

    def _repeat(
        self, number: int, test: RunningTest, worker: Worker, sampler: Sampler, cached: float | None = None,
        load_seconds: float | None = None,
    ) -> None:  # fmt: skip
        sampler.watch(worker.pid)
        try:
            timed = worker.time(test.spec.kind, test.spec.tokens, test.spec.depth)
        except LpcError as error:
            test.failed = str(error)
            self._settings.say(f"{test.label}: {error}")
            return
        finally:
            sampler.watch(None)
        repetition = test.add(timed, self._zero, number, cached, load_seconds)
        of = "" if self._settings.precision else f" of {self._settings.repetitions}"
        self._settings.say(f"{test.label}: {len(test.repetitions)}{of}: {repetition.tokens_per_s:.2f} tokens/s")

    def _tests_of(self, configuration: Configuration) -> list[RunningTest]:
        return [test for test in self._tests if test.configuration == configuration]

    def _so_far_of(self, configurations: tuple[Configuration, ...]) -> Callable[[], list[Test]]:
        """The tests of some configurations, as they are by then."""
        return lambda: [test.so_far() for each in configurations for test in self._tests_of(each)]


def _settings_record(settings: Settings) -> SettingsRecord:
    return SettingsRecord(
        repetitions=settings.repetitions,
        mode="cold" if settings.cold else "warm",
        order="interleaved" if settings.interleave or settings.cold else "sequential",
        warm_up=settings.warm_up and not settings.cold,
        telemetry_interval_s=settings.interval_s,
        precision=settings.precision.share if settings.precision else None,
        at_most_s=settings.precision.at_most_s if settings.precision else None,
    )
