"""The table of claims over jobs that cost nothing: what is run, found, carried on with and refused."""

import json
from argparse import Namespace
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from rrm.commands.claims import parse
from rrm.errors import InputError
from rrm.reports.claims.evidence import Evidence
from rrm.reports.claims.registry import CLAIMS
from rrm.studies.checks import fixed_configurations
from rrm.studies.claim_curricula import CURRICULA_SPEC
from rrm.studies.claim_dream import DREAM_SPEC
from rrm.studies.claim_grokking import GROKKING_SPEC
from rrm.studies.claim_heads import HEADS_SPEC
from rrm.studies.claim_jobs import HASH, Context, Job, claim_jobs, digest
from rrm.studies.claim_specs import ARMS_SPEC, MODELS_SPEC, TOY_SPEC
from rrm.studies.claims import run_study
from rrm.tasks import get_task
from rrm.tracking import Tracker, default_uri
from rrm.tracking.store_reader import StoreReader
from tests.reports.claims_evidence import evidence

# Quick ones: without the held-out models of the ladders.
SOME = [claim for claim in CLAIMS if claim.evidence in ("arms", "rollouts")]


@dataclass(frozen=True)
class Stub(Job):
    """A job that notes when it is run, and may be interrupted."""

    log: list = field(default_factory=list)
    part: str = "arms"
    steps: int = 1
    interrupted: bool = False
    kind: ClassVar[str] = "study"
    experiment: ClassVar[str] = "stubs"

    def settings(self, context):
        return {"steps": self.steps}

    def run(self, context, resume):
        self.log.append((self.name, resume))
        folder = context.storage / self.name
        folder.mkdir(exist_ok=True)
        (folder / "study.json").write_text("{}")
        with Tracker(context.uri, self.experiment, self.name, context.storage / "artifacts") as tracker:
            run = tracker.run("study", self.name)
            if self.interrupted:
                raise KeyboardInterrupt
            tracker.finish(run, "FINISHED")

    def read(self, context, run):
        made = evidence(True)
        return Evidence(**{self.part: getattr(made, self.part)}, runs={self.part: [run.id]})


def options(storage, **changes):
    return Namespace(**{"preset": "quick", "seed": 0, "name": "claims-quick", "storage": str(storage), "address": None,
                        "tracking_uri": None, "resume": False, "verbose": False} | changes)  # fmt: skip


def stubs(log, **changes):
    return [Stub("claims-quick-a", 60, log, "arms", **changes), Stub("claims-quick-b", 60, log, "rollouts")]


def heads(storage):
    reader = StoreReader(default_uri(storage), storage / "downloads")
    return {group.name: [run for run in reader.runs(group)] for group in reader.groups()}


def test_a_second_call_finds_every_job_and_starts_nothing(cluster, tmp_path, capsys):
    log = []
    run_study(options(tmp_path), stubs(log), SOME)
    said = capsys.readouterr().out
    assert log == [("claims-quick-a", False), ("claims-quick-b", False)]
    assert "expected " in said and said.count("measuring ") == len(SOME)
    found = heads(tmp_path)
    assert found["claims-quick-a"][0].tags[HASH] == digest({"steps": 1})
    (table,) = found["claims-quick"]
    assert table.status == "FINISHED" and table.params["runs.claims-quick-a"] == found["claims-quick-a"][0].id
    assert f"claims/{SOME[0].name}/effect" in table.metrics and table.tags["mlflow.note.content"].startswith("| claim")
    files = StoreReader(default_uri(tmp_path), tmp_path / "downloads").files(table)
    assert {"claims.csv", "claims.md", "figures/claims.png"} <= set(files)
    assert len((tmp_path / "claims-quick" / "claims.csv").read_text().splitlines()) == len(SOME) + 1

    run_study(options(tmp_path), stubs(log), SOME)
    said = capsys.readouterr().out
    assert len(log) == 2 and said.count("found     claims-quick") == 2
    assert "measuring" not in said and "to run" not in said
    assert [run.id for run in heads(tmp_path)["claims-quick"]] == [table.id]


def test_a_table_that_changes_has_a_run_of_its_own(cluster, tmp_path):
    run_study(options(tmp_path), stubs([]), SOME)
    run_study(options(tmp_path), stubs([]), SOME[:-1])
    assert len(heads(tmp_path)["claims-quick"]) == 2


def test_resume_carries_on_inside_the_unfinished_job(cluster, tmp_path):
    log = []
    with pytest.raises(KeyboardInterrupt):
        run_study(options(tmp_path), stubs(log, interrupted=True), SOME)
    with pytest.raises(InputError, match="claims-quick-a is not finished: add --resume"):
        run_study(options(tmp_path), stubs(log), SOME)
    with pytest.raises(InputError, match="claims-quick-a was begun with other settings"):
        run_study(options(tmp_path, resume=True), stubs(log, steps=2), SOME)
    run_study(options(tmp_path, resume=True), stubs(log), SOME)
    assert log == [("claims-quick-a", False), ("claims-quick-a", True), ("claims-quick-b", False)]


def test_a_job_with_other_settings_is_not_taken_for_this_one(cluster, tmp_path):
    run_study(options(tmp_path), stubs([]), SOME)
    with pytest.raises(InputError, match="claims-quick-a was made with other settings"):
        run_study(options(tmp_path), stubs([], steps=2), SOME)


def test_jobs_of_earlier_versions_are_found(tmp_path):
    # The settings of a job that was finished before presets named the number of exponents.
    (toy,) = [job for job in claim_jobs(options(tmp_path, preset="full")) if job.name.endswith("toy")]
    found = digest(toy.settings(Context(options(tmp_path, preset="full"), "")))
    assert found == "5936c6fce8c07ed82c9822aeb6ee879a668758f24d70f4f6d046a456d623f8ca"


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_the_jobs_of_a_preset_can_be_trained_and_bring_all_evidence(preset):
    jobs = claim_jobs(options("runs", preset=preset, name="c"))
    assert len({job.name for job in jobs}) == len(jobs) and all(job.name.startswith("c-") for job in jobs)
    assert {getattr(job, "part", "rollouts") for job in jobs} == {claim.evidence for claim in CLAIMS}
    for spec in (MODELS_SPEC, ARMS_SPEC, TOY_SPEC, GROKKING_SPEC, HEADS_SPEC, CURRICULA_SPEC, DREAM_SPEC):
        budget = spec.presets[preset]
        task = get_task(budget.task) if budget.task else None
        configs = fixed_configurations(spec, list(spec.models), budget, 0)
        recipes = [spec.recipe(config, task, budget, config["seed"]) for config in configs]
        assert len({json.dumps(made.to_dict(), default=list) for made in recipes}) == len(configs)
    # At equal calls all arms have one budget.
    budgets = {config["arm"]: ARMS_SPEC.recipe(config, get_task("sudoku-4x4"), ARMS_SPEC.presets[preset], 0).budget
               for config in ARMS_SPEC.fixed(["trm_mlp"])}  # fmt: skip
    assert len({value for arm, value in budgets.items() if "equal steps" not in arm}) == 1


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--preset", "huge"], "preset 'huge' is unknown: use one of quick, full"),
        (["--name", "a/b"], "is no name of a job"),
        (["--seed", "-1"], "is no seed"),
        (["--storage", "s3://bucket"], "is not a folder"),
    ],
)
def test_bad_options_are_refused(argv, message):
    with pytest.raises(InputError, match=message):
        parse("", argv)


def test_names_follow_the_preset():
    assert parse("", ["--preset", "full"]).name == "claims-full"
