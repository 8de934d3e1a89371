"""The jobs that claims need: ordinary sweeps and studies, each found again by its settings and data."""

import hashlib
import json
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rrm.curves import curve_path, read_curves
from rrm.dynamics import load_result
from rrm.dynamics.escape import EscapeResult
from rrm.dynamics.shards import load_rows
from rrm.dynamics.stochastic import StochasticResult
from rrm.errors import InputError
from rrm.halves import NOISE
from rrm.jobs.data import load_data
from rrm.jobs.folder import JobFolder
from rrm.jobs.heads import BASELINE, PERTURBED
from rrm.jobs.objectives import OBJECTIVES
from rrm.jobs.record import TrialRecord
from rrm.jobs.spec import Preset, SweepSpec
from rrm.reports.claims.curricula import UNIFORM
from rrm.reports.claims.evidence import Evidence, Rollouts
from rrm.reports.stability import examples, kept
from rrm.statistics import Examples
from rrm.statistics.training_runs import TrainingRun
from rrm.studies import heads, proposals, selector_sweep
from rrm.studies.checks import fixed_configurations
from rrm.studies.claim_curricula import CURRICULA_SPEC
from rrm.studies.claim_dream import DREAM_SPEC
from rrm.studies.claim_grokking import GROKKING_SPEC
from rrm.studies.claim_heads import ARMS as HEAD_ARMS
from rrm.studies.claim_heads import HEADS_SPEC
from rrm.studies.claim_specs import ARMS_SPEC, MODELS_SPEC, TOY_SPEC
from rrm.studies.stored import sweep_points
from rrm.studies.sweep import run_sweep
from rrm.tasks import get_task
from rrm.tracking.address import database_file
from rrm.tracking.reader import Run
from rrm.tracking.store_reader import StoreReader
from rrm.training.recipe import Recipe

HASH = "rrm.settings_hash"
# Share of the puzzles on which noise at test time is chosen, and segments of the longest rollout without noise.
CHOOSE_ON, DEEPEST = 0.25, 1024


@dataclass
class Context:
    """What jobs have in common.

    Attributes:
        args: of the command: preset, storage, name, tracking_uri, address, seed, resume, verbose.
        uri: the store.
        done: the runs of finished jobs, by name of the job.
    """

    args: Namespace
    uri: str
    done: dict[str, Run] = field(default_factory=dict)

    @property
    def storage(self) -> Path:
        """The storage folder."""
        return Path(self.args.storage).resolve()

    def reader(self) -> StoreReader:
        """A reader of the store."""
        return StoreReader(self.uri, self.storage / "downloads", self.storage)

    def trials(self, job: str) -> list[Run]:
        """The runs of the trials of a finished sweep."""
        reader = self.reader()
        group = next(group for group in reader.groups() if group.name == job)
        return [run for run in reader.runs(group) if run.role == "trial"]

    def head(self, job: str) -> Run | None:
        """The own run of a job in the store; None without one."""
        file = database_file(self.uri)
        if file and not file.exists():
            return None
        reader = self.reader()
        group = next((group for group in reader.groups() if group.name == job), None)
        return reader.run(group.run_id) if group else None


@dataclass(frozen=True)
class Job(ABC):
    """A sweep or study that evidence comes from.

    Attributes:
        name: of its folder and its runs.
        seconds: of work on one core, as expected from earlier runs on a laptop.
    """

    name: str
    seconds: float
    kind: ClassVar[str]

    @property
    @abstractmethod
    def experiment(self) -> str:
        """Its experiment in MLflow."""

    @abstractmethod
    def settings(self, context: Context) -> dict[str, Any] | None:
        """Everything that decides its result, the data included, as plain values; None until jobs before are done."""

    @abstractmethod
    def run(self, context: Context, resume: bool) -> None:
        """Run it, or carry on with it."""

    @abstractmethod
    def read(self, context: Context, run: Run) -> Evidence:
        """What it has measured."""


def digest(settings: dict[str, Any]) -> str:
    """sha256 of the settings of a job."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=list).encode()).hexdigest()


@dataclass(frozen=True)
class SweepJob(Job):
    """A sweep. part: the part of the evidence that it makes."""

    part: str
    spec: SweepSpec
    kind: ClassVar[str] = "sweep"

    @property
    def experiment(self) -> str:
        return self.spec.name

    def settings(self, context: Context) -> dict[str, Any]:
        spec, seed = self.spec, context.args.seed
        preset = spec.presets[context.args.preset]
        task = get_task(preset.task) if preset.task else None
        configs = fixed_configurations(spec, list(spec.models), preset, seed)
        wanted = [spec.data_of(config, preset) for config in configs]
        keys, _ = load_data(spec.name, wanted, None, seed, context.storage / "puzzles")
        return {
            "preset": _preset(preset),
            "trials": [
                {"config": config, "recipe": _told(spec.recipe(config, task, preset, config["seed"]))}
                for config in configs
            ],
            "data_hash": keys.content_hash,
        }

    def run(self, context: Context, resume: bool) -> None:
        args = context.args
        run_sweep(
            self.spec,
            Namespace(
                model=list(self.spec.models), preset=args.preset, trials=None, seeds=None, data=None, sigma=None,
                objectives=[next(iter(OBJECTIVES))], seed=args.seed, name=self.name, storage=args.storage,
                tracking_uri=args.tracking_uri, address=args.address, workers_per_trial=1, resume=resume,
                verbose=args.verbose,
            ),
        )  # fmt: skip

    def read(self, context: Context, run: Run) -> Evidence:
        runs = {self.part: [run.id]}
        if self.part in ("arms", "curricula", "dream"):
            points: dict[str, Any] = {self.part: sweep_points(context.uri, run.id)}
            return Evidence(**points, runs=runs)
        folder = JobFolder(context.storage / self.name, self.kind)
        if self.part == "grokking":
            return Evidence(grokking=self._networks(folder), runs=runs)
        if self.part == "heads":
            return Evidence(runs=runs)  # trained for the studies of heads
        if self.part == "toy":
            toy: dict[str, dict[int, float]] = {}
            for trial in _trials(folder):
                toy.setdefault(trial.arm.name, {})[trial.config["seed"]] = trial.best[self.spec.score]
            return Evidence(toy=toy, runs=runs)
        spectra: dict[str, dict[int, Examples]] = {}
        for trial in _trials(folder):
            result = load_result(folder.spectra(trial.name))
            of_trial = examples(result, np.flatnonzero(kept(result.finite)), {})
            spectra.setdefault(trial.model, {})[trial.config["seed"]] = of_trial
        return Evidence(spectra=spectra, runs=runs)

    def _networks(self, folder: JobFolder) -> dict[int, dict[str, TrainingRun]]:
        """By seed and arm, the trials with their curves."""
        found: dict[int, dict[str, TrainingRun]] = {}
        for trial in _trials(folder):
            seed, curves = trial.config["seed"], read_curves(curve_path(folder.path, trial.name))
            run = TrainingRun(trial.name, trial.model, trial.arm.name, seed, {}, curves)
            found.setdefault(seed, {})[trial.arm.name] = run
        return found


def _preset(preset: Preset) -> dict[str, Any]:
    """The preset, without `k` at its default: jobs were finished before presets had it."""
    plain = asdict(preset)
    return {name: value for name, value in plain.items() if name != "k" or value != Preset.k}


def _told(recipe: Recipe) -> dict[str, Any]:
    """The recipe without fields at their default, so that a field which rrm gets later changes no finished job."""
    plain = recipe.to_dict()
    defaults = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(recipe)}
    return {name: value for name, value in plain.items() if value != defaults[name]}


def _trials(folder: JobFolder) -> list[TrialRecord]:
    phases = folder.read("trials") or {}
    records = [TrialRecord.from_dict(known) for trials in phases.values() for known in trials]
    return [trial for trial in records if trial.checkpoint]


@dataclass(frozen=True)
class SelectorJob(Job):
    """A study of test-time settings of one baseline. sweep: the job that trains it.  sigmas, K: as in its command."""

    sweep: str
    model: str
    seed: int
    sigmas: Sequence[float]
    K: Sequence[int]
    kind: ClassVar[str] = "study"

    @property
    def experiment(self) -> str:
        return "selector"

    def _trial(self, context: Context) -> Run:
        wanted = {"rrm.model": self.model, "rrm.seed": str(self.seed), "rrm.arm": "baseline"}
        found = [run for run in context.trials(self.sweep) if wanted.items() <= run.tags.items()]
        if not found:
            raise InputError(f"{self.sweep} has no trained {self.model} of seed {self.seed}: choose another --name")
        return found[0]

    def settings(self, context: Context) -> dict[str, Any] | None:
        if self.sweep not in context.done:
            return None
        tags = self._trial(context).tags
        names = ("rrm.checkpoint_hash", "rrm.data_hash")
        return {"sigmas": self.sigmas, "K": self.K, "choose_on": CHOOSE_ON, **{name: tags[name] for name in names}}

    def run(self, context: Context, resume: bool) -> None:
        args = context.args
        selector_sweep.run_study(
            Namespace(
                run=self._trial(context).id, checkpoint=None, config=None, weights="best", data=None, count=None,
                segments=None, sigma=list(self.sigmas), where=["z_L"], rollouts=[NOISE], K=list(self.K), depth=None,
                depth_shares=[1], choose_on=CHOOSE_ON, deepest=DEEPEST, seed=args.seed, workers=None, gpus=0,
                name=self.name, storage=args.storage, tracking_uri=args.tracking_uri, address=args.address,
                resume=resume, verbose=args.verbose,
            )
        )  # fmt: skip

    def read(self, context: Context, run: Run) -> Evidence:
        path = context.storage / self.name
        noisy, deep = load_rows(StochasticResult, path / "result.npz"), load_rows(EscapeResult, path / "deep.npz")
        rollouts = Rollouts(noisy, deep, int(noisy.depths[-1]))
        return Evidence(rollouts={self.seed: rollouts}, runs={"rollouts": [run.id]})


@dataclass(frozen=True)
class HeadsJob(Job):
    """A study of the heads of one baseline, against the arm with noise.

    sweep: the job that trains them.  count: puzzles.  draws: random sets of heads.
    """

    sweep: str
    seed: int
    count: int
    draws: int
    kind: ClassVar[str] = "study"
    part: ClassVar[str] = "heads"

    @property
    def experiment(self) -> str:
        return "heads"

    def _trial(self, context: Context, arm: str) -> Run:
        wanted = {"rrm.seed": str(self.seed), "rrm.arm": arm}
        found = [run for run in context.trials(self.sweep) if wanted.items() <= run.tags.items()]
        if not found:
            raise InputError(f"{self.sweep} has no trained {arm} of seed {self.seed}: choose another --name")
        return found[0]

    def settings(self, context: Context) -> dict[str, Any] | None:
        if self.sweep not in context.done:
            return None
        tags = [self._trial(context, arm).tags for arm in HEAD_ARMS]
        return {"count": self.count, "draws": self.draws, "weights": [of["rrm.checkpoint_hash"] for of in tags],
                "data": tags[0]["rrm.data_hash"]}  # fmt: skip

    def run(self, context: Context, resume: bool) -> None:
        args = context.args
        heads.run_study(
            Namespace(
                run=self._trial(context, BASELINE).id, checkpoint=None, config=None, weights="best", data=None,
                count=self.count, segments=None, against=self._trial(context, PERTURBED).id, null=None, control=None,
                arms=[], draws=self.draws, seed=args.seed, workers=None, gpus=0, name=self.name, storage=args.storage,
                tracking_uri=args.tracking_uri, address=args.address, resume=resume, verbose=args.verbose,
            )
        )  # fmt: skip

    def read(self, context: Context, run: Run) -> Evidence:
        found = {name.removeprefix("heads/"): value for name, value in run.metrics.items()}
        return Evidence(heads={self.seed: found}, runs={"heads": [run.id]})


@dataclass(frozen=True)
class ProposalsJob(Job):
    """A study of new puzzles for one model of the sweep of curricula, trained on all puzzles alike.

    sweep: the job that trains it.  count: known puzzles, and new ones of each way.  K: attempts at each.
    """

    sweep: str
    seed: int
    count: int
    K: int
    kind: ClassVar[str] = "study"
    part: ClassVar[str] = "proposals"

    @property
    def experiment(self) -> str:
        return "proposals"

    def _trial(self, context: Context) -> Run:
        wanted = {"rrm.seed": str(self.seed), "rrm.arm": UNIFORM}
        found = [run for run in context.trials(self.sweep) if wanted.items() <= run.tags.items()]
        if not found:
            raise InputError(f"{self.sweep} has no trained {UNIFORM} of seed {self.seed}: choose another --name")
        return found[0]

    def settings(self, context: Context) -> dict[str, Any] | None:
        if self.sweep not in context.done:
            return None
        tags = self._trial(context).tags
        names = ("rrm.checkpoint_hash", "rrm.data_hash")
        return {"count": self.count, "K": self.K, **{name: tags[name] for name in names}}

    def run(self, context: Context, resume: bool) -> None:
        args = context.args
        proposals.run_study(
            Namespace(
                run=self._trial(context).id, checkpoint=None, config=None, weights="best", data=None, count=self.count,
                segments=None, proposals=self.count, length=1, K=self.K, sigma=0.3, where="both", seed=args.seed,
                workers=None, gpus=0, name=self.name, storage=args.storage, tracking_uri=args.tracking_uri,
                address=args.address, resume=resume, verbose=args.verbose,
            )
        )  # fmt: skip

    def read(self, context: Context, run: Run) -> Evidence:
        found = {name.removeprefix("proposals/"): value for name, value in run.metrics.items()}
        return Evidence(proposals={self.seed: found}, runs={"proposals": [run.id]})


def claim_jobs(args: Namespace) -> list[Job]:
    """The jobs of a preset, in the order in which they run."""
    quick = args.preset == "quick"

    def name(part: str) -> str:
        return f"{args.name}-{part}"

    arms = name("arms-mixers")
    seeds = range(args.seed, args.seed + ARMS_SPEC.presets[args.preset].seeds)
    sigmas, K = (0.1, 0.3, 1.0), (1, 8)
    trained, count, draws = name("heads"), 128 if quick else 256, 4 if quick else 10
    curricula = name("curricula")
    curricula_seeds = range(args.seed, args.seed + (2 if quick else 5))
    head_seeds = range(args.seed, args.seed + HEADS_SPEC.presets[args.preset].seeds)
    return [
        SweepJob(name("models"), 200 if quick else 600, "spectra", MODELS_SPEC),
        SweepJob(name("toy"), 60 if quick else 150, "toy", TOY_SPEC),
        SweepJob(name("grokking"), 90 if quick else 450, "grokking", GROKKING_SPEC),
        SweepJob(arms, 220 if quick else 2900, "arms", ARMS_SPEC),
        # Of baselines that are trained to the end, whose Q heads have learned to halt.
        *(SelectorJob(name(f"rollouts-mixers-{seed}"), 70, arms, "trm_mlp", seed, sigmas, K) for seed in seeds),
        SweepJob(curricula, 60 if quick else 800, "curricula", CURRICULA_SPEC),
        *(ProposalsJob(name(f"proposals-{seed}"), 15 if quick else 60, curricula, seed, 64 if quick else 256,
                       8 if quick else 16) for seed in curricula_seeds),
        SweepJob(name("dream"), 100 if quick else 900, "dream", DREAM_SPEC),
        SweepJob(trained, 150 if quick else 400, "heads", HEADS_SPEC),
        *(HeadsJob(f"{trained}-{seed}", 30 if quick else 120, trained, seed, count, draws) for seed in head_seeds),
    ]
