"""`cae-sweep plan --for-claims`: the cheapest trials that would decide undecided claims."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cae.cli import machine_output
from cae.cli.console import Console
from cae.errors import UserError
from cae.report.data import tables
from cae.report.data.results import Run
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.need import Need, NeedKind
from cae.report.statistics.claims.needs import FIRST_SEEDS
from cae.report.statistics.claims.verdict import ClaimResult, Verdict
from cae.report.wording.claims import reason
from cae.report.wording.needs import need_commands, need_sentence, seeds_commands
from cae.run.formatting import count_of, format_duration
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.sweep.spec.claim_trials import trials_for_claim

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
    """Trials of each of them that are to be trained."""
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
    plans: list[ClaimPlan] = []
    for claim in claims:
        result = judged.get(claim.id)
        if results is None or result is None or result.need.kind == NeedKind.TRIALS:
            plans.append(_with_new_trials(prepared, cost, claim, result))
        else:
            plans.append(_with_more_seeds(_located(results.runs[0], prepared), result))
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
        trials = count_of(plan.more_seeds * len(plan.trials), "trial")
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


def _time(plan: ClaimPlan) -> str:
    if plan.seconds is None:
        return "time unknown"
    return f"about {format_duration(plan.seconds)}"


def _order(plan: ClaimPlan) -> tuple[bool, float]:
    seconds = math.inf
    if plan.seconds is not None:
        seconds = plan.seconds
    return not plan.has_trials, seconds


def _with_more_seeds(run: Run, result: ClaimResult) -> ClaimPlan:
    """A claim that the trials of the run judge."""
    need = result.need
    sentence = need_sentence(need) or reason(result)
    seconds = None
    source = ""
    if math.isfinite(need.seconds):
        seconds = need.seconds
        source = MEASURED
    return ClaimPlan(
        id=result.id,
        text=result.text,
        verdict=result.verdict,
        need=need.kind,
        sentence=sentence,
        trials=list(need.trials),
        more_seeds=_practical_seeds(need),
        seconds=seconds,
        source=source,
        commands=need_commands(run, need),
    )


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


def _with_new_trials(
    prepared: Prepared, cost: Cost, claim: Claim, result: ClaimResult | None
) -> ClaimPlan:
    """A claim whose trials are not in the run yet."""
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
    plan = prepared.plan
    seconds_per_epoch = dict(
        zip([trial.number for trial in plan.listed], cost.seconds_per_epoch, strict=True)
    )

    def seconds_of(trial: PlannedTrial) -> float:
        return seconds_per_epoch[trial.number] * trial.trial.epochs

    trials = trials_for_claim(claim, plan.listed, plan.overrides, seconds_of)
    if not trials:
        return ClaimPlan(
            id=claim.id,
            text=claim.text,
            verdict=verdict,
            need=NeedKind.TRIALS,
            sentence="This selection of the sweep has no trials for it: see --budget and --set.",
        )
    seeds = max(FIRST_SEEDS, plan.sweep.seeds)
    seconds: float | None = seeds * sum(map(seconds_of, trials))
    if seconds is not None and not math.isfinite(seconds):
        seconds = None
    run = _planned_run(prepared, trials)
    numbers = [trial.number for trial in trials]
    commands = seeds_commands(run, numbers, trials[0].trial.seed, seeds, seeds)
    return ClaimPlan(
        id=claim.id,
        text=claim.text,
        verdict=verdict,
        need=NeedKind.TRIALS,
        sentence=f"{count_of(seeds, 'seed')} of {_configurations(trials)}, to estimate the spread.",
        trials=numbers,
        more_seeds=seeds,
        seconds=seconds,
        source=TIMED,
        commands=commands,
    )


def _configurations(trials: Sequence[PlannedTrial]) -> str:
    if len(trials) == 1:
        return "one configuration"
    return f"each of {len(trials)} configurations"


def _planned_run(prepared: Prepared, trials: Sequence[PlannedTrial]) -> Run:
    """A run whose records are the planned trials: their commands are made as those of others."""
    base = prepared.file.sweep.base
    out = ""
    if prepared.selection.out is not None:
        out = f" --out {prepared.selection.out}"
    sweep = SweepDescription(
        file=str(prepared.file.path),
        budget=prepared.selection.budget,
        base=base.flat(),
        defaults=base.later_defaults(),
        command=f"cae-sweep run {prepared.file.path}{out}",
    )
    records: dict[int, Record] = {}
    for trial in trials:
        config: Mapping[str, Any] = trial.trial.flat()
        records[trial.number] = Record(
            number=trial.number,
            hash=trial.hash,
            config=dict(config),
            axes=dict(trial.axes),
            sizes=dict(trial.sizes),
        )
    return Run(prepared.run, prepared.run.name, sweep, records, [], running=False)
