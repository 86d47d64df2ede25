"""The claims of sweep.json, each judged from the trials by a named statistical test.

    supported       the effect has the claimed sign, and p < 0.05
    contradicted    it has the opposite sign, and p < 0.05
    undecided       neither: too few seeds for a test, or no difference beyond the spread
    not testable    the trials that the claim needs are not in this run, or nothing in a run can decide it

Only finished trials count that the sweep asks for and ranks, but where a claim names an epoch (`at_epoch`). Two sides are
compared between trials that are alike in every other setting, where there are such: by pairs of equal seeds (paired t-test),
else by means per configuration, else as two samples (Welch's t-test). Rank correlations are tested by permutation, which is
exact for few trials and needs no distribution: in sweeps of one parameter there are 3 to 8 trials, for which the approximations
of Spearman's and Kendall's tests are wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data import tables
from cae.report.statistics import published
from cae.report.statistics.claim_data import Missing, View, same, told
from cae.report.statistics.inference import (
    Contrast,
    bootstrapped,
    holm,
    paired,
    spearman,
    tail,
    welch,
)

ALPHA = 0.05
VERDICTS = ("supported", "contradicted", "undecided", "not testable")
BARE = "none: a size of the network, in which there is no chance"
BOOTSTRAPS = 199
LEAST_FOREST = 20
"""With fewer trials, a forest has too few that it did not see."""


class Found(NamedTuple):
    verdict: str
    why: str
    test: str = "none"
    used: Sequence[Any] = ()
    effect: str = ""
    size: float | None = None
    statistic: float | None = None
    p: float | None = None


def judge(results: tables.Results) -> list[dict[str, Any]]:
    """Every claim of the runs with its verdict, the test and its numbers, the trials used (`n`, and `seeds` of each configuration)."""
    return [_row(View(results, run), claim) for run in results.runs for claim in run.sweep.claims]


def sentence(rows: list[dict[str, Any]]) -> str:
    counts = Counter(row["verdict"] for row in rows)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    return f"Of {formatting.plural(len(rows), 'claim')}: {said}." if rows else ""


def chance(p: float) -> str:
    return "p\u00a0<\u00a00.0001" if p < 1e-4 else f"p\u00a0=\u00a0{p:.2g}"


def _row(view: View, claim: dict[str, Any]) -> dict[str, Any]:
    try:
        if claim.get("kind") not in KINDS:
            raise Missing(
                str(
                    claim.get("reason")
                    or f"claims of the kind {formatting.short(str(claim.get('kind')))} are not known here"
                )
            )
        found = KINDS[claim["kind"]](view, claim)
    except Missing as missing:
        said = f"{str(missing).rstrip('.')}."
        begins_with_a_word = said.split(" ")[0].isalpha()  # and not with the name of a parameter
        found = Found(
            "not testable", said[0].upper() + said[1:] if begins_with_a_word else said, ""
        )
    tested = bool(found.used) and found.test != BARE
    differs = published.differences(view.run.sweep.overrides) if tested else ""
    left = formatting.listed(
        f"{count} {state}" for state, count in sorted(Counter(view.left.values()).items())
    )
    why = formatting.sentences(
        [found.why, left and f"Left out: {left}.", differs and f"Under {differs}."]
    )
    about = {name: str(claim.get(name, "")) for name in ("id", "kind", "text", "provenance")}
    numbers = {
        "statistic": found.statistic,
        "p": found.p,
        "effect": found.effect,
        "size": found.size,
        "n": len(found.used),
    }
    seeds = (
        int(view.results.configurations.loc[list(found.used)].value_counts().min()) if tested else 0
    )
    trials = sorted(int(str(view.results.trials.at[index, "trial"])) for index in found.used)
    verdict = {"verdict": found.verdict, "why": why, "differs": differs, "trials_used": trials}
    return {"run": view.run.name, **about, "test": found.test, **numbers, "seeds": seeds, **verdict}


def contrast(
    view: View, this: pd.Series[float], that: pd.Series[float], names: Iterable[str]
) -> Contrast:
    """Two sides that differ in `names`, between trials that are alike in all else, where there are such."""
    if set(this.index) & set(that.index):
        raise Missing("some trials are on both sides")
    rest = {index: view.rest(index, names) for index in [*this.index, *that.index]}
    shared = {rest[index] for index in this.index} & {rest[index] for index in that.index}
    if shared:
        this, that = (
            side[[rest[index] in shared for index in side.index]] for side in (this, that)
        )
    used, alike = (
        [*this.index, *that.index],
        "pairs of equal seeds" if len(shared) == 1 else "pairs, alike in all else",
    )
    seeded = {index: f"{rest[index]} {view.config(index).get('seed')}" for index in used}
    for keys, what in ((seeded, alike), (rest, "pairs of means per configuration")):
        left, right = (
            side.groupby(pd.Series({index: keys[index] for index in side.index})).mean()
            for side in (this, that)
        )
        both = left.index.intersection(right.index)
        if 2 <= len(both) == min(len(left), len(right)):
            return paired(
                left[both].to_numpy(),
                right[both].to_numpy(),
                what,
                [index for index in used if keys[index] in set(both)],
            )
    note = "" if shared else "The two sides differ in other settings as well."
    return welch(this.to_numpy(), that.to_numpy(), used, note)


def _settle(
    two: Contrast,
    sign: float,
    said: str,
    effect: str,
    *,
    p: float | None = None,
    shift: float = 0.0,
) -> Found:
    """The verdict on a difference (this - that - shift) that is claimed to have a sign; 0: to be small."""
    claimed = sign
    sign *= two.t(shift) if not two.few else two.gap - shift
    way = "goes the claimed way" if sign > 0 else "goes the opposite way" if sign < 0 else "is nil"
    if two.few:
        why = f"{two.few}{f'; the difference {way}' if claimed else ''}. A test needs at least 2 seeds."
        return Found(
            "undecided",
            formatting.sentences([said, two.note, why]),
            "none",
            two.used,
            effect,
            two.gap,
        )
    p = two.p(shift) if p is None else p
    verdict = (
        "undecided" if not p < ALPHA or not sign else "supported" if sign > 0 else "contradicted"
    )
    end = (
        f"The difference {way}"
        if verdict != "undecided"
        else f"It {way}, not beyond the spread"
        if sign
        else "It is nil"
    )
    return Found(
        verdict,
        formatting.sentences([said, two.note, f"{end} ({chance(p)})."]),
        two.test,
        two.used,
        effect,
        two.gap,
        two.t(shift),
        p,
    )


def _gap(two: Contrast, metric: str) -> str:
    size = two.gap
    return (
        f"{formatting.number(abs(size), 3)} {'lower' if size < 0 else 'higher'} {formatting.short(metric)}"
        if size
        else "no difference"
    )


def _arms(view: View, claim: dict[str, Any]) -> tuple[Contrast, str, str]:
    where, metric = claim.get("where") or {}, str(claim["metric"])
    this, that = (view.values(metric, {**where, **claim[side]}) for side in ("this", "that"))
    two = contrast(view, this, that, [*claim["this"], *claim["that"]])
    effect = _gap(two, metric)
    return (
        two,
        f"Mean {formatting.short(metric)} {formatting.number(two.this)} against {formatting.number(two.that)}: {effect}.",
        effect,
    )


def better_than(view: View, claim: dict[str, Any]) -> Found:
    metric, margin = str(claim["metric"]), float(claim.get("margin") or 0)
    mode = claim.get("mode") or published.direction(metric, view.results)
    if mode is None:
        raise Missing(
            f"whether less or more of {formatting.short(metric)} is better is not known: the claim's mode can say it"
        )
    two, said, effect = _arms(view, claim)
    sign, by = (
        -1 if mode == "min" else 1,
        f" Claimed: better by more than {formatting.parameter(margin)}." if margin else "",
    )
    return _settle(two, sign, said + by, effect, shift=sign * margin)


def no_difference(view: View, claim: dict[str, Any]) -> Found:
    margin = float(claim["margin"])
    two, said, effect = _arms(view, claim)
    if two.few:
        return _settle(
            two._replace(note=f"{two.note} Claimed margin {formatting.parameter(margin)}.".strip()),
            0,
            said,
            effect,
        )
    low, high = two.t(-margin), two.t(margin)
    within, beyond = (
        max(tail(low, two.freedom), tail(-high, two.freedom)),
        2 * min(tail(-low, two.freedom), tail(high, two.freedom)),
    )
    verdict = "supported" if within < ALPHA else "contradicted" if beyond < ALPHA else "undecided"
    p, statistic = (
        (beyond, max(-low, high)) if verdict == "contradicted" else (within, min(low, -high))
    )
    where = {
        "supported": "It is within",
        "contradicted": "It is beyond",
        "undecided": "The spread leaves open whether it is within",
    }
    why = formatting.sentences(
        [
            said,
            two.note,
            f"{where[verdict]} the margin of {formatting.parameter(margin)} ({chance(p)}).",
        ]
    )
    return Found(
        verdict,
        why,
        f"two one-sided tests (TOST), {two.test}",
        two.used,
        effect,
        two.gap,
        statistic,
        p,
    )


def extreme_at(view: View, claim: dict[str, Any]) -> Found:
    """SmallestAt and LargestAt: the claimed value against each other one."""
    metric, axis, sign = (
        str(claim["metric"]),
        str(claim["axis"]),
        -1 if claim["kind"] == "SmallestAt" else 1,
    )
    values = view.values(metric, claim.get("where") or {})
    settings, here = view.settings(values, axis), told({axis: claim["value"]})
    at, texts = (
        settings.map(lambda setting: same(setting, claim["value"])).astype(bool),
        settings.map(formatting.parameter),
    )
    others = list(dict.fromkeys(texts[~at & ~settings.map(scales.missing).astype(bool)]))
    if not at.any() or not others:
        raise Missing(f"{'every' if at.any() else 'no'} finished trial has {here}")
    twos = {
        text: contrast(view, values[at], values[~at & (texts == text)], [axis]) for text in others
    }
    ps = holm({text: two.p() for text, two in twos.items() if not two.few})
    beaten = [text for text, p in ps.items() if sign * twos[text].gap < 0 and p < ALPHA]
    unsure = [text for text in others if text not in ps or ps[text] >= ALPHA]
    rival = min(beaten or unsure or others, key=lambda text: sign * twos[text].gap)
    two, among = (
        twos[rival],
        f" ({'the least sure' if unsure and not beaten else 'the closest'} of {len(twos)} others)"
        if len(twos) > 1
        else "",
    )
    if untested := [text for text in others if text not in ps and not beaten]:
        two = two._replace(few=twos[untested[0]].few, error=math.nan)
    said = f"Mean {formatting.short(metric)} {formatting.number(two.this)} at {here} against {formatting.number(two.that)} at {formatting.short(rival)}{among}."
    found = _settle(two, sign, said, _gap(twos[rival], metric), p=None if untested else ps[rival])
    used = list(dict.fromkeys(index for each in twos.values() for index in each.used))
    return found._replace(
        test=f"{found.test}, Holm over {len(ps)} comparisons"
        if len(ps) > 1 and not untested
        else found.test,
        used=used,
    )


def _associated(
    x: pd.Series[Any],
    values: pd.Series[float],
    blocks: Sequence[str],
    sign: int,
    said: str,
    least: str,
) -> Found:
    rho, p, floor, how = spearman(x.to_numpy(), values.to_numpy(), blocks)
    effect, within = (
        f"Spearman correlation {formatting.number(rho, 3)}",
        " within configurations" if len(set(blocks)) > 1 else "",
    )
    verdict = (
        "undecided"
        if not p < ALPHA or not rho
        else "supported"
        if sign * rho > 0
        else "contradicted"
    )
    way = "goes the claimed way" if sign * rho > 0 else "goes the opposite way" if rho else "is nil"
    end = f"It {way}{', not beyond chance' if verdict == 'undecided' else ''} ({chance(p)})."
    why = formatting.sentences([f"{effect}.", said, end, least if floor >= ALPHA else ""])
    return Found(
        verdict,
        why,
        f"Spearman's rank correlation{within} ({how})",
        list(values.index),
        effect,
        rho,
        rho,
        p,
    )


def _when(claim: dict[str, Any]) -> str:
    return (
        f"At epoch {claim['at_epoch']} of all trials, those that were stopped later too. "
        if claim.get("at_epoch")
        else ""
    )


def monotone(view: View, claim: dict[str, Any]) -> Found:
    """RisesWith and FallsWith: within configurations that are alike but for the axis, where there are such."""
    metric, axis, sign = (
        str(claim["metric"]),
        str(claim["axis"]),
        1 if claim["kind"] == "RisesWith" else -1,
    )
    values = view.values(metric, claim.get("where") or {}, claim.get("at_epoch"))
    x = view.settings(values, axis, numbers=True)
    if x.nunique() < 2:
        raise Missing(f"every finished trial has {told({axis: x.iloc[0]})}")
    rest = pd.Series({index: view.rest(index, [axis]) for index in values.index})
    alike = rest[x.groupby(rest).transform("nunique") > 1]
    rest = alike if len(alike) else pd.Series("", index=values.index)
    x, values = x[rest.index], values[rest.index]
    means, count = values.groupby(x).mean(), x.nunique()
    ends = " and ".join(
        f"{formatting.number(means.loc[end])} at {formatting.parameter(end)}"
        for end in (means.index[0], means.index[-1])
    )
    turns = int((sign * np.diff(means.to_numpy()) < 0).sum())
    said = f"{_when(claim)}Mean {formatting.short(metric)} {ends} of {formatting.short(axis)}" + (
        f", against the claim at {turns} of {count - 1} steps." if turns else "."
    )
    seeds = next(
        m
        for m in range(1, 99)
        if 2 * math.factorial(m) ** count < ALPHA * math.factorial(m * count)
    )
    least = (
        f"{formatting.plural(seeds, 'seed')} of each of these {count} values would be the least."
        if rest.nunique() == 1
        else "Too few trials."
    )
    return _associated(
        x,
        values,
        rest.tolist(),
        sign,
        said + ("" if len(alike) else " Other settings vary along."),
        least,
    )


def correlated(view: View, claim: dict[str, Any]) -> Found:
    values = view.values(
        str(claim["metric"]), claim.get("where") or {}, epoch := claim.get("at_epoch")
    )
    if epoch and str(claim["other"]) in view.results.epochs:
        other = (
            view.values(str(claim["other"]), claim.get("where") or {}, epoch)
            .reindex(values.index)
            .dropna()
        )
        values = values[other.index]
    else:
        other = view.settings(values, str(claim["other"]), numbers=True)
    if other.nunique() < 2:
        raise Missing(f"no two finished trials differ in {formatting.short(str(claim['other']))}")
    sign = 1 if claim["sign"] == "positive" else -1
    return _associated(
        other,
        values,
        [""] * len(values),
        sign,
        _when(claim).strip(),
        "At least 5 trials are needed.",
    )


def more_important(view: View, claim: dict[str, Any]) -> Found:
    """The lead of the axis over all others in each bootstrap; contradicted where the strongest of the others leads over it."""
    from scipy import stats

    metric, axis = str(claim["metric"]), str(claim["axis"])
    values = view.values(metric, claim.get("where") or {}, claim.get("at_epoch"))
    asked = [axis, *claim.get("others", [])]
    settings = {
        name: view.settings(values, name)
        for name in [*asked, *scales.varying(view.results, view.every.loc[values.index])]
    }
    for name in asked:
        if not scales.differs(settings[name]):
            raise Missing(f"{formatting.short(name)} has one value in all {len(values)} trials")
    names = sorted(settings)  # one order for all claims: then they share the bootstraps
    mine, others = (
        names.index(axis),
        [names.index(name) for name in asked[1:] or names if name != axis],
    )
    if not others:
        raise Missing(f"nothing but {formatting.short(axis)} varies")
    test = f"random forest, permutation importance in {BOOTSTRAPS} bootstraps over trials"
    if len(values) < LEAST_FOREST:
        return Found(
            "undecided",
            f"{len(values)} trials; a forest needs at least {LEAST_FOREST}.",
            "none",
            list(values.index),
        )
    places = [
        scales.axis(name, settings[name], view.results.axes.get(name, {})).positions
        for name in names
    ]
    x = np.column_stack(
        [np.where(np.isnan(place), np.nanmin(place) - 1, place) for place in places]
    )
    y = np.asarray(stats.rankdata(values.to_numpy()), dtype=float)
    drawn = bootstrapped(x.tobytes(), (y / y.std()).tobytes(), len(names), BOOTSTRAPS)
    mean = drawn.mean(axis=0)
    rival = max(others, key=lambda column: mean[column])
    ahead, behind = (
        np.sum(drawn[:, mine] <= drawn[:, others].max(axis=1)),
        np.sum(drawn[:, mine] >= drawn[:, rival]),
    )
    lead, sure, beaten = (
        float(mean[mine] - mean[rival]),
        *(min(1.0, 2 * (1 + int(count)) / (1 + BOOTSTRAPS)) for count in (ahead, behind)),
    )
    verdict = (
        "supported"
        if sure < ALPHA and lead > 0
        else "contradicted"
        if beaten < ALPHA and lead < 0
        else "undecided"
    )
    p = beaten if lead < 0 else sure
    said = f"Importance {formatting.number(mean[mine], 3)} of {formatting.short(axis)}, {formatting.number(mean[rival], 3)} of {formatting.short(names[rival])}"
    why = f"{_when(claim)}{said}, the next of {len(others)}, on the ranks of {formatting.short(metric)} ({chance(p)})."
    effect = f"{formatting.number(abs(lead), 3)} {'more' if lead > 0 else 'less'} of the variance of ranks"
    return Found(verdict, why, test, list(values.index), effect, lead, lead, p)


def compares(view: View, claim: dict[str, Any]) -> Found:
    left, right, where = str(claim["left"]), str(claim["right"]), claim.get("where") or {}
    pairs = pd.DataFrame({name: view.values(name, where) for name in (left, right)}).dropna()
    said = "At the best epoch, mean"
    if claim.get("epochs"):
        (first, last), epochs = claim["epochs"], view.results.epochs
        inside = epochs[(epochs["run"] == view.run.name) & epochs["epoch"].between(first, last)]
        rows = inside[[name for name in ("trial", "epoch", left, right) if name in inside]].dropna()
        rows = rows[rows["trial"].isin(view.results.trials.loc[pairs.index, "trial"])]
        if left not in rows or right not in rows or not len(rows):
            raise Missing(
                f"no finished trial has {formatting.short(left)} and {formatting.short(right)} in epochs {first} to {last}"
            )
        numbers = view.results.trials.loc[pairs.index, "trial"]
        pairs = (
            rows.groupby("trial")[[left, right]]
            .mean()
            .reindex(numbers)
            .set_index(numbers.index)
            .dropna()
        )
        said = f"Over epochs {rows['epoch'].min()} to {rows['epoch'].max()} (claimed: {first} to {last}), mean"
    if not len(pairs):
        raise Missing(
            f"no finished trial has both {formatting.short(left)} and {formatting.short(right)}"
        )
    two = paired(pairs[left].to_numpy(), pairs[right].to_numpy(), "trials", list(pairs.index))
    effect = f"{_gap(two, left)} than {formatting.short(right)}" if two.gap else "no difference"
    said = f"{said} {formatting.short(left)} {formatting.number(two.this)}, {formatting.short(right)} {formatting.number(two.that)}, in {len(pairs)} trials."
    p = None
    if len(pairs) >= 6 and two.gap:  # fewer signed ranks cannot come below p = 0.05
        from scipy import stats

        p = float(stats.wilcoxon(pairs[left], pairs[right]).pvalue)
        two = two._replace(test=f"Wilcoxon's signed-rank test ({len(pairs)} trials)")
    return _settle(two, -1 if claim["op"] == "<" else 1, said, effect, p=p)


def threshold(view: View, claim: dict[str, Any]) -> Found:
    metric, bound, op = str(claim["metric"]), float(claim["bound"]), str(claim["op"])
    if claim.get("as_published") and (changed := view.run.sweep.overrides):
        raise Missing(
            f"the bound is the report's number, and not comparable: this run has {published.differences(changed)}"
        )
    values = view.values(metric, claim.get("where") or {})
    mates, configurations = (
        values[view.results.mates(values.index)],
        view.results.configurations.loc[values.index].nunique(),
    )
    two = paired(mates.to_numpy(), np.full(len(mates), bound), "seeds", list(mates.index))
    among = f" Best of {configurations} matching configurations." if configurations > 1 else ""
    said, effect = (
        f"Mean {formatting.short(metric)} {formatting.number(two.this)}, claimed {op} {formatting.parameter(bound)}.{among}",
        _gap(two, "than the bound"),
    )
    if metric in view.run.records[int(str(view.results.trials.at[mates.index[0], "trial"]))].sizes:
        holds = {
            "<": two.this < bound,
            "<=": two.this <= bound,
            ">": two.this > bound,
            ">=": two.this >= bound,
        }[op]
        return Found(
            "supported" if holds else "contradicted",
            f"{said} One number, compared as it is.",
            BARE,
            two.used,
            effect,
            two.gap,
        )
    return _settle(
        two._replace(test=f"one-sample t-test ({len(mates)} seeds)"),
        -1 if op[0] == "<" else 1,
        said,
        effect,
    )


def extreme_rows(view: View, claim: dict[str, Any]) -> Found:
    """SmallestRows and LargestRows, over the seeds of the best matching configuration: the worst of the rows named against the
    best of the others, in each trial's table."""
    name, column, sign = (
        str(claim["table"]),
        str(claim["column"]),
        -1 if claim["kind"] == "SmallestRows" else 1,
    )
    named, found = [str(row) for row in claim["rows"]], dict[Any, tuple[float, float]]()
    trials = view.trials(claim.get("where") or {})
    for index in view.results.mates(trials.index):
        rows = {str(next(iter(row.values()))): row.get(column) for row in view.table(index, name)}
        values = {
            key: -sign * float(value)
            for key, value in rows.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        if len(values) > len(named) and values.keys() >= set(named):
            found[index] = (
                max(values[key] for key in named),
                min(value for key, value in values.items() if key not in named),
            )
        else:
            view.left[index] = (
                f"without {formatting.short(column)} of these rows in a table {formatting.short(name)}"
            )
    if not found:
        raise Missing(
            f"no finished trial has a table {formatting.short(name)} with {formatting.short(column)} of {formatting.listed(named)} and of others"
        )
    inside, outside = np.array(list(found.values())).T
    two = paired(-sign * inside, -sign * outside, "seeds", list(found))
    which = ("largest", "smallest") if sign < 0 else ("smallest", "largest")
    said = (
        f"The {which[0]} {formatting.short(column)} of {formatting.listed(named)} is {formatting.number(two.this)}, the {which[1]} of the other rows "
        f"{formatting.number(two.that)}, in the mean of {formatting.plural(len(found), 'trial')}."
    )
    return _settle(two, sign, said, _gap(two, column))


KINDS: dict[str, Callable[[View, dict[str, Any]], Found]] = {
    "SmallestAt": extreme_at,
    "LargestAt": extreme_at,
    "RisesWith": monotone,
    "FallsWith": monotone,
    "BetterThan": better_than,
    "NoDifference": no_difference,
    "CorrelatesWith": correlated,
    "MoreImportantThan": more_important,
    "Compares": compares,
    "Threshold": threshold,
    "SmallestRows": extreme_rows,
    "LargestRows": extreme_rows,
}
"""Who judges a claim, by the name of its class in cae/sweep/spec/claims.py."""
