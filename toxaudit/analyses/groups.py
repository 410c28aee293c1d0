"""The analyses of groups as an audit's spec selects them; each is computed from the estimates alone."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar

from toxaudit import plugins
from toxaudit.analyses.accuracy_parity import accuracy_parity
from toxaudit.analyses.base import Evidence, rows_of
from toxaudit.analyses.bias_gap import harmful_bias_gap
from toxaudit.analyses.forgetting import forgetting, seeds
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Analysis as Question
from toxaudit.extensions import Declared
from toxaudit.facts import BASE_ARM
from toxaudit.findings import Analysis, AuditResult
from toxaudit.registry import register

NO_GROUPS = "no measure was estimated by group: give the suite slices, and select the estimator hier_paired"


class OfGroups:
    """What the analyses of groups share: they have no settings, and can be computed again from a finished run."""

    kind: ClassVar[str]
    reads_weights: ClassVar[bool] = False
    between: ClassVar[str] = ""
    """What it needs that compares candidates with each other, in words that follow its name."""

    def check(self) -> None:
        """There is nothing to set."""

    def check_fits(self, candidates: Mapping[str, Declared], suites: Collection[str]) -> None:
        """Raise ToxauditError where it compares a candidate with another candidate and there is no such comparison."""
        if self.between and all(each.against == BASE_ARM for each in candidates.values()):
            raise ToxauditError(f"analysis {self.kind} {self.between}")


@register("analysis", "accuracy_parity")
class AccuracyParity(OfGroups):
    """How unequal each arm is across groups: the largest difference of the share of right answers between two."""

    def analyse(self, evidence: Evidence) -> Analysis:
        """A row for each comparison and slicing, of the reference, the candidate and the change."""
        rows = rows_of(map(accuracy_parity, evidence.compared()))
        return Analysis(
            name=self.kind,
            title="Accuracy parity",
            text="The largest share of right answers in a group minus the smallest, AP = max xi(D_a) - min xi(D_a) "
            "(Das et al. 2024, section 3), where right is what lacks the unwanted outcome. It is never negative, so "
            "that its interval keeps away from 0 even where all groups are alike: read the change beside it",
            unit="rate",
            rows=rows,
            refusals=() if rows else (NO_GROUPS,),
        )


@register("analysis", "harmful_bias_gap")
class HarmfulBiasGap(OfGroups):
    """How differently a group fares under low-rank tuning and under full fine-tuning."""

    between: ClassVar[str] = (
        "needs a full fine-tune as reference: set against: NAME in the LoRA candidates, where NAME is a candidate of "
        "method: full."
    )

    def check_fits(self, candidates: Mapping[str, Declared], suites: Collection[str]) -> None:
        """Raise ToxauditError where no candidate is compared with another one that can be a full fine-tune."""
        references = {each.against for each in candidates.values()} - {BASE_ARM}
        if all(candidates[name].whole is False for name in references):
            raise ToxauditError(f"analysis {self.kind} {self.between}")

    def analyse(self, evidence: Evidence) -> Analysis:
        """Rows by group of each candidate that is compared with a full fine-tune: without one, a gap means nothing."""
        others = {name: evidence.against(name) for name in evidence.candidates if evidence.against(name) != BASE_ARM}
        of = [name for name, other in others.items() if evidence.is_full(other)]
        rows = rows_of(harmful_bias_gap(each) for each in evidence.compared() if each.candidate in of)
        refusals = [
            f"{name} is compared with {other}, which is no full fine-tune"
            for name, other in others.items()
            if name not in of
        ]
        return Analysis(
            name=self.kind,
            title="Harmful bias gap",
            text="The size of the difference in the share of right answers between full fine-tuning and low-rank "
            "tuning, by group: HBG = |xi(full; D_a) - xi(LoRA; D_a)| (Das et al. 2024, section 3), on the same "
            "prompts. A size is never negative: the signed difference beside it tells whether 0 is excluded",
            unit="rate",
            rows=rows,
            refusals=(*refusals, *(() if rows else (NO_GROUPS if of else f"{self.kind} {self.between}",))),
        )


@register("analysis", "forgetting")
class Forgetting(OfGroups):
    """What a stage of tuning forgets of what the stage before it had taught, in all and by group."""

    between: ClassVar[str] = (
        "compares a stage with the one before it: set against: NAME in the candidates of later stages, where NAME is "
        "the candidate of the earlier one."
    )

    def analyse(self, evidence: Evidence) -> Analysis:
        """Rows of each candidate that is compared with another candidate, and of the mean over training seeds."""
        of = [name for name in evidence.candidates if evidence.against(name) != BASE_ARM]
        stages = [each for each in evidence.compared() if each.candidate in of]
        return Analysis(
            name=self.kind,
            title="Forgetting",
            text="F = acc(after its own stage) - acc(after the next), with acc the share of answers that lack the "
            "unwanted outcome; relative forgetting is 100 F / acc(after its own stage), in percent; biased forgetting "
            "of a group is F_g - F. Negative values mean that the later stage made it better. Ung et al. 2024 name "
            "these quantities; the formulas are ours. Over training seeds, each seed is one draw: the interval is that "
            "of Student's t with as many degrees of freedom as there are seeds beyond the first",
            unit="rate",
            rows=rows_of(map(forgetting, stages)) + seeds(stages, evidence.models),
            refusals=() if stages else (NO_GROUPS if of else f"{self.kind} {self.between}",),
        )


def computed_again(found: Analysis, result: AuditResult) -> Analysis | None:
    """What the estimates of a finished run make of an analysis of groups; None of one that reads weights."""
    kind = plugins.named("analysis", found.kind)
    if kind is None or kind.reads_weights:
        return None
    models = {model.name: model for model in (result.base, *result.candidates)}
    analysis: Question = kind()
    return replace(analysis.analyse(Evidence(models, result.estimates)), name=found.name, kind=found.kind)
