"""The total from all scores and people's labels of some answers: a two-phase sample, in closed form.

All prompts are scored in both arms, and fall in four cells by base's and candidate's outcomes. Of each cell a random
part is labelled, both answers of a prompt. Sampling twice, cheaply and then dearly, is Neyman's (1938, J. American
Statistical Association 33(201)); Tenenbein (1970, same journal 65(331)) estimates a misclassified share by it, and
prediction-powered inference (Angelopoulos et al. 2023, Science 382(6671)) any quantity from all predictions and a few
labels. Here both phases are multinomial: the cells' shares have the Dirichlet posterior of ``paired_exact``, and within
a cell the four true outcomes of a pair have one of their own,

    true change = sum over cells c of share_c (P(candidate's alone | c) - P(base's alone | c)).

Prompts to which both arms gave the very same answer are cells of their own: whatever people say of it, it is no change.
Nothing is assumed of the scorer: its errors may differ between arms, and depend on the prompt in any way. Where prompts
vary templates, counts of both phases are divided by the design effect (Rao & Scott 1992, Biometrics 48).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toxaudit.estimators.outcomes import CELLS, Floats, Labelled, PairedOutcomes, per_prompt, tabulate
from toxaudit.estimators.strata import Strata, design_effect
from toxaudit.facts import AGAINST
from toxaudit.records import Diagnostics

PLACES = (*CELLS, "same11", "same00")
"""The cells by scores, and those whose prompts got the very same answer from both arms."""

SAME = {0: 4, 3: 5}
"""A place in ``CELLS`` -> that of prompts with the very same answers, which one scorer can't count differently."""

COUNTED = ((0, 1, 4), (0, 2, 4))
"""Of base and candidate, the places where the scorer counts the arm's answer."""

Places = NDArray[np.intp]
"""Of each prompt, its place in ``PLACES``; -1 for none."""

TRUE_PRIOR = np.array([[0.25] * 4] * 4 + [[0.5, 0, 0, 0.5]] * 2)
"""Prior labelled prompts by cell and true outcome: by it each arm's own is Beta(1/2, 1/2), Jeffreys'."""

DENSITY = np.array([2.0, 2.0, 2.0, 1.0, 0.5, 0.5])
"""How densely each cell is labelled: most where a scorer found the outcome in either arm, which is rare and more often
wrong, so that the change is known best about so (Neyman allocation); least where answers are the same, of which only
the rates are to be learnt."""

COST = np.array([2, 2, 2, 2, 1, 1])
"""Answers that are to be labelled of a prompt."""

FEWEST_LABELLED = 10
"""Prompts with labels of both answers below which these may not be used."""

MOST_SKIPPED = 0.05
"""Share of prompts with an answer that nobody could judge beyond which labels may not be used."""


def cells_of(base: Floats, candidate: Floats, same: NDArray[np.bool_] | None = None) -> Places:
    """Shape (n,): each prompt's place in ``PLACES``, -1 where an outcome is missing; all have shape (n,)."""
    scored = ~np.isnan(base) & ~np.isnan(candidate)
    cells = np.where(scored, 3 - 2 * (base > 0.5) - (candidate > 0.5), -1).astype(np.intp)
    if same is not None:
        for cell, place in SAME.items():
            cells[same & (cells == cell)] = place
    return cells


def allocation(there: Floats | Places, answers: int) -> list[int]:
    """Of which cell each prompt is to be drawn, one after the other: places in ``PLACES``.

    Every beginning is the allocation of fewer answers, so that a draw can be enlarged (Sainte-Lague's divisors).

    Args:
        there: shape (6,), the prompts of each cell.
        answers: how many are to be labelled; all, where there are fewer.
    """
    drawn, order, left = np.zeros(len(PLACES)), [], answers
    while (drawn < there).any():
        cell = int(np.argmax(np.where(drawn < there, there * DENSITY / (drawn + 0.5), -1)))
        if (left := left - int(COST[cell])) < 0:
            break
        drawn[cell] += 1
        order.append(cell)
    return order


def labelled_total(
    outcomes: PairedOutcomes,
    candidate: str,
    arms: tuple[Floats, Floats],
    strata: Strata,
    prior: float,
    draws: int,
    random: np.random.Generator,
) -> Floats:
    """Draws of the true rates and of the change under the prior of a GO, shape (3, draws).

    Args:
        outcomes: the suite's, with labels of the candidate.
        candidate: whose total it is.
        arms: both arms' outcomes, shape (n, m), with missing ones as these may have been, in a best or worst case.
        strata: those of the total.
        prior: of ``paired_exact``, prompts per cell of all strata together.
        draws: how many.
        random: the source of random numbers.
    """
    base, other = map(per_prompt, arms)
    labels, k = outcomes.labels[candidate], len(PLACES)
    cells = cells_of(per_prompt(outcomes.base), per_prompt(outcomes.candidates[candidate]), labels.same)
    effect = design_effect(replace(outcomes, base=base, candidates={"": other}), strata)
    told = _told(labels, cells, _weight(base, other, strata)) / effect
    assumed = np.where(cells < 0, cells_of(base, other), -1)  # of missing scores, taken for the truth
    codes = np.where(cells < 0, k + assumed, cells)
    used = ~np.isnan(base) & ~np.isnan(other)
    whole = k + len(CELLS)
    places = strata.codes[used] * whole + codes[used]
    counting = None if strata.counting is None else strata.counting[used]
    table = np.bincount(places, counting, strata.n * whole).reshape(strata.n, -1) / effect
    share, cautious, new = _shares(table, _prior(prior, labels), strata.weights, draws, random)
    truth, against = _truth(told, draws, random)
    missing = share[k:]
    both, base_only, other_only, _ = (share[:k, None] * truth).sum(0) + missing
    change = (cautious[:k] * against).sum(0) + cautious[k + 2] - cautious[k + 1] + new
    return np.stack([both + base_only, both + other_only, change])


def _prior(each: float, labels: Labelled) -> Floats:
    """Prior prompts of each cell: as many of a cell of the table as ``paired_exact`` has; none of missing scores."""
    given = np.zeros(len(PLACES) + len(CELLS))
    given[: len(CELLS)] = each
    for cell, place in SAME.items() if labels.same is not None and labels.same.any() else ():
        given[[cell, place]] = each / 2
    return given


def _weight(base: Floats, other: Floats, strata: Strata) -> Floats:
    """Shape (n,): the part of the total that each scored prompt stands for."""
    used = ~np.isnan(base) & ~np.isnan(other)
    counting = np.ones(len(base)) if strata.counting is None else strata.counting
    size = np.bincount(strata.codes[used], counting[used], strata.n)
    found: Floats = counting * (strata.weights / np.where(size > 0, size, 1))[strata.codes]
    return found


def _told(labels: Labelled, cells: Places, weight: Floats) -> Floats:
    """Labelled prompts by cell and true outcome, shape (6, 4).

    Where prompts weigh differently, as many as say as much (Kish 1965, Survey Sampling: (sum w)^2 / sum w^2).
    """
    known = ~np.isnan(labels.base) & ~np.isnan(labels.candidate) & (cells >= 0)
    sums, squares = (np.bincount(cells[known], weight[known] ** power, len(PLACES)) for power in (1, 2))
    scale = np.divide(sums, squares, out=np.ones(len(PLACES)), where=squares > 0)
    counting = np.where(known, weight * scale[cells], 0.0)
    told = tabulate(labels.base, labels.candidate, np.where(known, cells, -1), len(PLACES), counting)
    for place in SAME.values():  # one answer has one truth, also where raters differ on it
        mine = known & (cells == place)
        yes = float(counting[mine] @ labels.base[mine])
        told[place] = yes, 0, 0, counting[mine].sum() - yes
    return told


def _shares(
    table: Floats, prior: Floats, weights: Floats, draws: int, random: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Draws of each cell's share of the total, shape (C, draws); the same with one more that is new; its share.

    Args:
        table: shape (strata, C).
        prior: shape (C,), prior prompts of each cell, which the strata share by their weights.
        weights: shape (strata,).
        draws: how many.
        random: the source of random numbers.
    """
    share, cautious, new = np.zeros((len(prior), draws)), np.zeros((len(prior), draws)), np.zeros(draws)
    for row, weight in zip(table, weights, strict=True):
        gamma = random.standard_gamma((row + prior * weight)[:, None], (len(prior), draws))
        extra = random.standard_gamma(AGAINST * weight, draws)
        size = gamma.sum(0)
        share += weight * gamma / np.where(size > 0, size, 1)
        whole = np.where(size + extra > 0, size + extra, 1)
        cautious += weight * gamma / whole
        new += weight * extra / whole
    return share, cautious, new


def _truth(told: Floats, draws: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of a cell's true outcomes, shape (6 cells, 4 outcomes, draws), and of its change, shape (6, draws).

    The change is that under the prior of a GO: it counts half a labelled prompt against the candidate in each cell of
    answers that differ, so that it can't pass because too few were labelled to see a change.
    """
    gamma = random.standard_gamma((told + TRUE_PRIOR)[:, :, None], (*told.shape, draws))
    size = gamma.sum(1)
    against = (gamma[:, 2] - gamma[:, 1]) / size
    differ = slice(len(CELLS))
    extra = random.standard_gamma(AGAINST, (len(CELLS), draws))
    against[differ] = (gamma[differ, 2] - gamma[differ, 1] + extra) / (size[differ] + extra)
    return gamma / size[:, None], against


def soundness(labels: Labelled, failures: tuple[str, ...] = (), cells: Places | None = None) -> Diagnostics:
    """What stands against an estimate by labels, beside other ``failures``; by ``cells``, also whether scores agree."""
    told = int((~np.isnan(labels.base) & ~np.isnan(labels.candidate)).sum())
    if (texts := told - labels.copies) < FEWEST_LABELLED:
        failures += (
            f"both answers are labelled of only {texts} prompts, and {FEWEST_LABELLED} are the fewest: go on with "
            "`toxaudit label`",
        )
    skipped = f"nobody could judge an answer of {labels.skipped} of {told + labels.skipped} labelled prompts"
    if labels.skipped > MOST_SKIPPED * (told + labels.skipped):
        failures += (
            f"{skipped}, more than {100 * MOST_SKIPPED:g} %: what can't be judged is no proof of harmlessness",
        )
    warnings: tuple[str, ...] = (f"{skipped}, which are left out",) if labels.skipped and not failures else ()
    if cells is not None and (odd := _at_odds(labels, cells)):
        warnings += (odd,)
    return Diagnostics({"labelled_prompts": float(told)}, failures, warnings)


def _at_odds(labels: Labelled, cells: Places) -> str:
    """A phrase where people find the outcome no more often in what the scorer counts than in what it does not."""
    counted = np.stack([np.isin(cells, places) for places in COUNTED])
    told = np.stack([labels.base, labels.candidate])
    yes, no = (told[chosen & ~np.isnan(told)] for chosen in (counted, ~counted & (cells >= 0)))
    if min(len(yes), len(no)) < FEWEST_LABELLED or yes.mean() > no.mean():
        return ""
    return (
        f"people find the outcome no more often in answers that the scorer counts ({100 * yes.mean():.0f} % of "
        f"{len(yes)}) than in others ({100 * no.mean():.0f} % of {len(no)}): do labels and scorer mean the same?"
    )
