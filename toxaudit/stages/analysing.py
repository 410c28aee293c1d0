"""Further questions to the same arms and answers: what each selected analysis found."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toxaudit.analyses.base import Evidence, Tokens
from toxaudit.findings import Analysis, AuditResult
from toxaudit.machine import progress
from toxaudit.models import Arm, Loader, ResolvedModel
from toxaudit.records import Asked
from toxaudit.spec.schema import AuditSpec


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

    Raises:
        ToxauditError: if the audit does not have what an analysis asks about.
    """
    if not spec.analyses:
        return result
    here = {arm.name: arm for arm in audited if isinstance(arm, ResolvedModel)}
    models = {model.name: model for model in (result.base, *result.candidates)}
    evidence = Evidence(models, result.estimates, here, suites, loader, tokens)
    found: list[Analysis] = []
    with progress.bar("analysing", len(spec.analyses), "analysis") as bar:
        for name, analysis in spec.analyses.items():
            found.append(replace(analysis.analyse(evidence), name=name, kind=analysis.kind))
            bar.update()
    loader.close()
    return replace(result, analyses=tuple(found))
