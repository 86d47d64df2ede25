"""`cae-sweep plan --for-claims`: the cheapest trials that would decide undecided claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cae.cli import machine_output
from cae.cli.claim_commands import ClaimCommands
from cae.cli.console import Console
from cae.errors import UserError
from cae.report.data import tables
from cae.report.data.results import Run
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.need import Need, NeedKind
from cae.report.statistics.claims.needs import FIRST_SEEDS
from cae.report.statistics.claims.verdict import ClaimResult, Verdict
from cae.report.wording.claims import reason
from cae.report.wording.needs import need_commands, need_sentence
from cae.run.formatting import count_of, format_duration
from cae.sweep.engine.known_run import UNMEASURED_LATENT
from cae.sweep.spec.candidates import dataset_key
from cae.sweep.spec.claim_cost import TrainingCost
from cae.sweep.spec.claim_trials import trials_for_claim
from cae.sweep.spec.latent_columns import (
    TURNED_OFF,
    is_about_latent_code,
    reasons_without_columns,
)

if TYPE_CHECKING:  # these import torch, and `status` has to be quick
    from cae.sweep.engine.session import Prepared
    from cae.sweep.spec.claims import Claim
    from cae.sweep.spec.cost import Cost
    from cae.sweep.spec.planned_trial import PlannedTrial

MEASURED = "measured"
"""The time is that of the same trials in the journal."""
TIMED = "timed"
"""The time is estimated from networks that were timed on this machine."""


@dataclass(frozen=True, kw_only=True)
class ClaimPlan:
    """What would decide one claim."""

    id: str
    text: str
    verdict: str
    """"not run" if the run does not exist."""
    need: str
    """A `NeedKind`."""
    sentence: str
    trials: Sequence[int] = ()
    """One trial of each configuration."""
    more_seeds: int = 0
    """Seeds of each of them that the claim needs, in addition to those that judged it."""
    new_trials: int = 0
    """Trials that are to be trained, without dependencies."""
    dependencies: Sequence[int] = ()
    """Unfinished trials that are trained before, because these depend on them."""
    seconds: float | None = None
    """Training time, without parallel trials; None: not known, or nothing to train."""
    source: str = ""
    """"measured" or "timed"."""
    commands: Sequence[str] = field(default_factory=tuple)

    @property
    def has_trials(self) -> bool:
        return self.more_seeds > 0


def show(prepared: Prepared, cost: Cost, *, as_json: bool) -> None:
    """Print what would decide each claim of a sweep, as JSON or as text. Raises UserError."""
    plans = plan_claims(prepared, cost)
    if as_json:
        machine_output.echo_json(claims_json(prepared, plans))
    else:
        print_claims(prepared, plans)


def plan_claims(prepared: Prepared, cost: Cost) -> list[ClaimPlan]:
    """What would decide each claim of a sweep, the cheapest first; decided claims last.

    Raises UserError if the sweep has no claims.
    """
    claims = prepared.file.sweep.claims
    if not claims:
        raise UserError(f"--for-claims: {prepared.file.path} declares no claims")
    results = None
    judged: dict[str, ClaimResult] = {}
    if any(record.epochs for record in prepared.records.values()):
        results = tables.read([prepared.run])
        judged = {result.id: result for result in judge_claims(results)}
    new_trials = _NewTrials(prepared, cost)
    plans: list[ClaimPlan] = []
    for claim in claims:
        result = judged.get(claim.id)
        if results is None or result is None or result.need.kind == NeedKind.TRIALS:
            plans.append(new_trials.plan(claim, result))
        else:
            run = _located(results.runs[0], prepared)
            plans.append(_with_more_seeds(run, claim, result, new_trials.commands))
    return sorted(plans, key=_order)


def claims_json(prepared: Prepared, plans: Sequence[ClaimPlan]) -> dict[str, Any]:
    """The plans for programs; times are in seconds."""
    return {"run": prepared.run.location(), "claims": [asdict(plan) for plan in plans]}


def print_claims(prepared: Prepared, plans: Sequence[ClaimPlan]) -> None:
    """Print the trials and commands, and which claims trials cannot decide."""
    console = Console()
    for plan in plans:
        if not plan.has_trials:
            continue
        trials = count_of(plan.new_trials, "trial")
        if plan.dependencies:
            trials += f" and {_dependencies(len(plan.dependencies))}"
        line = f"[bold]{escape(plan.id)}[/] ({plan.verdict}), {trials}, {_time(plan)}"
        console.print(f"{line}: {escape(plan.text)}", highlight=False, soft_wrap=True)
        console.print(f"  {escape(plan.sentence)}", highlight=False, soft_wrap=True)
        for command in plan.commands:
            console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)
    for plan in plans:
        if not plan.has_trials and plan.need != NeedKind.NOTHING:
            text = f"{plan.id} ({plan.verdict}): {plan.sentence}"
            console.print(escape(text), highlight=False, soft_wrap=True)
    decided = sum(plan.need == NeedKind.NOTHING for plan in plans)
    claims = count_of(len(plans), "claim")
    summary = f"{escape(prepared.file.title)}: {decided} of {claims} decided by their tests"
    console.print(f"{summary}; the times are estimates, one trial at a time", highlight=False)


def _dependencies(count: int) -> str:
    if count == 1:
        return "1 dependency"
    return f"{count} dependencies"


def _time(plan: ClaimPlan) -> str:
    if plan.seconds is None:
        return "time unknown"
    return f"about {format_duration(plan.seconds)}"


def _order(plan: ClaimPlan) -> tuple[bool, float]:
    seconds = math.inf
    if plan.seconds is not None:
        seconds = plan.seconds
    return not plan.has_trials, seconds


def _with_more_seeds(
    run: Run, claim: Claim, result: ClaimResult, commands: ClaimCommands
) -> ClaimPlan:
    """A claim that the trials of the run judge."""
    need = result.need
    sentence = need_sentence(need) or reason(result)
    seconds = None
    source = ""
    if math.isfinite(need.seconds):
        seconds = need.seconds
        source = MEASURED
    more_seeds = _practical_seeds(need)
    printed = need_commands(run, need)
    if printed:
        command = _command_of_plan(claim, need, commands)
        if command:
            printed = [command]
    return ClaimPlan(
        id=result.id,
        text=result.text,
        verdict=result.verdict,
        need=need.kind,
        sentence=sentence,
        trials=list(need.trials),
        more_seeds=more_seeds,
        new_trials=more_seeds * len(need.trials),
        seconds=seconds,
        source=source,
        commands=printed,
    )


def _command_of_plan(claim: Claim, need: Need, commands: ClaimCommands) -> str:
    """The one command that adds exactly the seeds of a need; empty if there is none."""
    planned = {trial.number: trial for trial in commands.requested}
    trials = [planned[number] for number in need.trials if number in planned]
    ends = {trial.trial.seed + need.seeds for trial in trials}
    if len(trials) < len(need.trials) or ends != {need.first_seed + need.more_seeds}:
        return ""  # not of this plan, or the new seeds do not follow those of the plan
    return commands.exact(trials, need.seeds, claim.parameters())


def _located(run: Run, prepared: Prepared) -> Run:
    """The run with the --out of this command: its folder may have another name than then."""
    if prepared.selection.out is None:
        return run
    command = f"cae-sweep run {run.sweep.file} --out {prepared.selection.out}"
    return replace(run, sweep=replace(run.sweep, command=command))


def _practical_seeds(need: Need) -> int:
    if need.kind == NeedKind.MANY_SEEDS:
        return 0
    return need.more_seeds


class _NewTrials:
    """Plans for claims whose trials are not in the run yet."""

    def __init__(self, prepared: Prepared, cost: Cost) -> None:
        self._plan = prepared.plan
        self._sweep = prepared.plan.sweep
        self._cost = TrainingCost(prepared.plan, cost.seconds_per_epoch)
        self.commands = ClaimCommands(prepared)

    def plan(self, claim: Claim, result: ClaimResult | None) -> ClaimPlan:
        """What would decide a claim; `result`: its judgment by the trials of the run."""
        verdict = "not run"
        if result is not None:
            verdict = result.verdict
        if type(claim).__name__ == "NotTestable":
            return ClaimPlan(
                id=claim.id,
                text=claim.text,
                verdict=Verdict.NOT_TESTABLE,
                need=NeedKind.IMPOSSIBLE,
                sentence=str(getattr(claim, "reason", "")),
            )
        unmeasured: dict[str, None] = {}  # an ordered set
        measured: list[PlannedTrial] = []
        for trial in self.commands.requested:
            reasons = self._reasons_unmeasured(claim, trial)
            unmeasured |= dict.fromkeys(reasons)
            if not reasons:
                measured.append(trial)
        trials = trials_for_claim(claim, measured, self._plan.overrides, self._cost.seconds)
        if not trials:
            return ClaimPlan(
                id=claim.id,
                text=claim.text,
                verdict=verdict,
                need=NeedKind.TRIALS,
                sentence=_without_trials(list(unmeasured)),
            )
        seeds = max(FIRST_SEEDS, self._sweep.seeds)
        options = self._options(claim, trials)
        training = self.commands.for_trials(trials, seeds, claim.parameters(), options)
        trained = training.trials
        untrained = sum(self._cost.untrained_seeds(trial, seeds) for trial in trained)
        if not untrained and not options and result is not None:
            return ClaimPlan(  # the run has its trials: what is missing is something else
                id=claim.id,
                text=claim.text,
                verdict=verdict,
                need=NeedKind.TRIALS,
                sentence=reason(result),
            )
        sentence = (
            f"{count_of(seeds, 'seed')} of {_configurations(trained)}, to estimate the spread."
        )
        if options:
            sentence += " Finished trials are measured, not trained again."
        seconds: float | None = self._cost.seconds(trained, seeds)
        if seconds is not None and not math.isfinite(seconds):
            seconds = None
        return ClaimPlan(
            id=claim.id,
            text=claim.text,
            verdict=verdict,
            need=NeedKind.TRIALS,
            sentence=sentence,
            trials=[trial.number for trial in trained],
            more_seeds=seeds,
            new_trials=untrained,
            dependencies=[trial.number for trial in self._cost.dependencies(trained)],
            seconds=seconds,
            source=TIMED,
            commands=training.commands,
        )

    def _reasons_unmeasured(self, claim: Claim, trial: PlannedTrial) -> list[str]:
        images = self._plan.images[dataset_key(trial.trial.dataset)]
        return reasons_without_columns(claim, trial.trial, trial.sizes, images, self._sweep)

    def _options(self, claim: Claim, trials: Sequence[PlannedTrial]) -> str:
        """An option that measures the latent code of finished trials, if the claim is about it."""
        is_unmeasured = any(trial.number in self._plan.unmeasured_latent for trial in trials)
        if is_unmeasured and is_about_latent_code(claim, trials[0].trial):
            return f" --retry {UNMEASURED_LATENT}"
        return ""


def _without_trials(unmeasured: Sequence[str]) -> str:
    """Why no trials of the plan decide a claim."""
    if not unmeasured:
        return "This selection of the sweep has no trials for it: see --budget, --set and --where."
    sentence = "; ".join(unmeasured)
    if any(TURNED_OFF in text for text in unmeasured):
        sentence += "; --set latent=true turns them on"
    return f"{sentence}."


def _configurations(trials: Sequence[PlannedTrial]) -> str:
    if len(trials) == 1:
        return "one configuration"
    return f"each of {len(trials)} configurations"
