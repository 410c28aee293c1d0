"""How sure a gate must be, either way: what a decision needs, and how a probability beside it is printed."""

from dataclasses import dataclass

from toxaudit.facts import Decision


@dataclass(frozen=True)
class Certainty:
    """The posterior probabilities that a GO and a NO-GO need, in 0.5..1."""

    to_pass: float
    to_fail: float

    @classmethod
    def of_family(cls, certainty: float, family_error: float, looks: int) -> "Certainty":
        """What keeps the chance of a false NO-GO in any of several looks at most at ``family_error``.

        A GO needs every look to pass, so that its own chance of an error is that of the worst one: nothing is to be
        added (Berger 1982, Technometrics 24(4), intersection-union tests). A NO-GO needs only one to fail; by
        Bonferroni's inequality each look then gets the like part of the whole chance, whatever ties the looks.

        Args:
            certainty: what each look needs by itself.
            family_error: the chance of a false NO-GO in any look, in 0..1.
            looks: how many there are; of none as of one.
        """
        return cls(certainty, max(certainty, 1 - family_error / max(looks, 1)))

    def decision(self, p_pass: float, p_fail: float) -> Decision:
        """What the probabilities of staying within the margin, and of exceeding it, decide."""
        return "GO" if p_pass >= self.to_pass else "NO-GO" if p_fail >= self.to_fail else "INCONCLUSIVE"

    def shown(self, probability: float) -> str:
        """A probability with three digits or more: as many as tell on which side of what is needed it lies."""
        for digits in range(3, 16):
            shown = f"{probability:.{digits}f}"
            if all((float(shown) >= bar) == (probability >= bar) for bar in (self.to_pass, self.to_fail)):
                return shown
        return str(probability)
