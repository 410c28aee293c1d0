"""Further questions to the same arms and answers: what each selected analysis found."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toxaudit.analyses.base import Evidence, Learning, Learnt, Tokens
from toxaudit.findings import Analysis, AuditResult
from toxaudit.machine import progress
from toxaudit.models import Arm, LoadedModel, Loader, ResolvedModel
from toxaudit.records import Asked
from toxaudit.spec.recipes import FULL
from toxaudit.spec.schema import AuditSpec
from toxaudit.training import recipe
from toxaudit.training.tokens import batch
from toxaudit.training.tokens import tokens as tokens_of


def analysed(
    spec: AuditSpec,
    result: AuditResult,
    audited: Sequence[Arm],
    suites: Mapping[str, Asked],
    loader: Loader,
    tokens: Tokens,
) -> AuditResult:
    """The result, with what the spec's analyses found.

    Args:
        spec: the audit's.
        result: all that was found before.
        audited: the arms.
        suites: the prompts that were asked.
        loader: loads arms; it holds none at the end.
        tokens: what an arm reads of prompts.
    """
    if not spec.analyses:
        return result
    here = {arm.name: arm for arm in audited if isinstance(arm, ResolvedModel)}
    models = {model.name: model for model in (result.base, *result.candidates)}
    evidence = Evidence(models, result.estimates, here, suites, loader, tokens, learning(spec))
    found: list[Analysis] = []
    with progress.bar("analysing", len(spec.analyses), "analysis") as bar:
        for name, analysis in spec.analyses.items():
            found.append(replace(analysis.analyse(evidence), name=name, kind=analysis.kind))
            bar.update()
    loader.close()
    return replace(result, analyses=tuple(found))


def learning(spec: AuditSpec) -> Learning:
    """What the spec's recipes learn, read again."""
    known: dict[str, recipe.ReadStage] = {}

    def learnt(name: str, loaded: LoadedModel) -> Learnt:
        last = recipe.read(spec.candidates, name, known).stages[-1]
        rows = tokens_of(last.place, loaded, last.examples.all, last.spec).rows
        return Learnt(rows, last.spec.method == FULL, batch)

    return learnt
