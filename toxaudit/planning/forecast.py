"""What a run would answer, hold in memory and take, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from toxaudit.backends.vllm import Vllm
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Suite
from toxaudit.machine import speed
from toxaudit.machine.memory import in_words
from toxaudit.machine.speed import Speed
from toxaudit.models.capacity import mend
from toxaudit.planning import foreseen, served_speed
from toxaudit.planning.effort import GPU_FLOPS, Effort, Questions, questions
from toxaudit.planning.expected import Prospect, on_this_machine, threads
from toxaudit.records import Asked
from toxaudit.sources import HubSource, parse
from toxaudit.spec.schema import AuditSpec


@dataclass(frozen=True)
class Forecast:
    """What a run of a spec would find and cost.

    Attributes:
        prospect: what is known of the files.
        suites: those whose prompts are on this machine.
        asked: the suites of which at least the number of prompts is known.
        cpu: this machine's speed, where models run on its CPU.
        effort: time and memory.
    """

    prospect: Prospect
    suites: Mapping[str, Asked]
    asked: list[Questions]
    cpu: Speed | None
    effort: Effort


def forecast(spec: AuditSpec, asks: bool = False) -> Forecast:
    """Look at the files of a spec, ask the Hub, and measure this machine.

    Args:
        spec: composed and checked.
        asks: whether a server on this machine that is to answer is timed, too.

    Raises:
        ToxauditError: if a local file that the spec names is missing or broken, or a run would refuse what is here.
    """
    prospect = Prospect(spec)
    read = ((name, _asked(name, suite)) for name, suite in spec.suites.items())
    suites = {name: asked for name, asked in read if asked}  # while the Hub is asked
    cpu = speed.speed(threads(spec)) if prospect.device == "cpu" else None
    prospect.wait()
    _foresee(prospect)
    told = {name: suites[name].prompts if name in suites else count(suite) for name, suite in spec.suites.items()}
    asked = [questions(spec, name, each) for name, each in told.items() if each is not None]
    served = served_speed.measure(spec, suites) if asks else None
    return Forecast(prospect, suites, asked, cpu, Effort(spec, prospect, cpu, served))


def _foresee(prospect: Prospect) -> None:
    """Refuse the arms that a run would refuse for what their files on this machine tell, if they aren't already."""
    for arm in ("base", *(name for name in prospect.spec.candidates if name not in prospect.refused)):
        try:
            foreseen.check(prospect.spec, arm, prospect.known)
        except ToxauditError as error:
            prospect.refuse(None if arm == "base" else arm, error)


def amount(spec: AuditSpec, ahead: Forecast) -> str:
    """How much text the run may generate, as far as the suites' sizes are known, and how much it only reads."""
    arms, each = 1 + len(spec.candidates), spec.generation.max_new_tokens * spec.generation.samples
    asked = {questions.suite for questions in ahead.asked}
    written = [questions for questions in ahead.asked if not spec.suites[questions.suite].choices]
    parts = []
    if known := sum(questions.prompts for questions in written):
        parts.append(f"{known} prompts x {arms} models, at most {known * arms * each:,} tokens")
    unknown = [spec.suites[name] for name in spec.suites if name not in asked]
    if unwritten := sum(not suite.choices for suite in unknown):
        parts.append(f"{unwritten} suite(s) still to be fetched, at most {each} tokens x {arms} models a prompt")
    if chosen := sum(questions.prompts for questions in ahead.asked if questions not in written):
        parts.append(f"of {chosen} prompts x {arms} models the likeliest choice, without writing")
    if unread := sum(bool(suite.choices) for suite in unknown):
        parts.append(f"{unread} suite(s) of choices still to be fetched")
    return f"{'; and '.join(parts)}."


def count(suite: Suite) -> int | None:
    """How many prompts a suite that is not here will ask, as far as it tells."""
    told = [number for number in (suite.limit, suite.n) if number is not None]
    return min(told, default=None)


def _asked(name: str, suite: Suite) -> Asked | None:
    """The suite and its prompts where its data are on this machine, else None."""
    source = parse(suite.data, suite.revision, "dataset")
    if (path := on_this_machine(source, suite.patterns)) is None:
        return None
    if isinstance(source, HubSource):
        suite = replace(suite, data=str(path), revision=None)  # as it lies there: the Hub need not be asked
    drawn = suite.draw(name)
    return Asked(drawn.prompts, suite.facts(name, drawn))


def memory(spec: AuditSpec, ahead: Forecast) -> str:
    """What is held at once, what of it is the largest model's, and what is free."""
    prospect, weights, peak = ahead.prospect, ahead.prospect.needed(), ahead.effort.memory(ahead.asked)
    free = "" if prospect.free is None else f"{in_words(prospect.free)} free here"
    rest = f"; {free}." if free else "."
    if spec.backend.server:
        return f"{_of_scorers(ahead, peak)}{rest}"
    if peak is None or not weights:
        return f"unknown{rest}"
    largest = max(weights, key=lambda arm: weights[arm])
    needed = weights[largest]
    by_name = ", by its name" if largest in prospect.sized_by_name else ""
    text = (
        f"{_at_most(spec, ahead, peak)}, with {in_words(needed)} for the weights of {largest} in "
        f"{prospect.dtype} (the largest{by_name}; models are loaded one at a time, adapters are attached "
        "to the loaded base)"
    )
    if unknown := prospect.of_unknown_size:
        text += f", unknown for {', '.join(unknown)}"
    text += rest
    if prospect.free is not None and needed > prospect.free:
        text += f" That is too little: {mend(prospect.device, prospect.dtype)}."
    return text


def _at_most(spec: AuditSpec, ahead: Forecast, peak: int) -> str:
    """How much is held at once, where it can be told."""
    if isinstance(spec.backend, Vllm):
        taken = "the weights and up to 2 GiB for keys and values" if ahead.cpu else "nine tenths of the GPU"
        return f"not reckoned, as vLLM takes {taken}"
    return f"about {in_words(peak)}{'' if ahead.cpu else ' of the GPU'} at most"


def _of_scorers(ahead: Forecast, peak: int | None) -> str:
    """What is held at once where a server answers, and only scorers are loaded."""
    if peak is None:
        return f"unknown for {', '.join(ahead.effort.scorers)}" if ahead.effort.scorers else "no model is loaded here"
    sized = {name: sizes.parameters for name, sizes in ahead.effort.scorers.items() if sizes}
    largest = max(sized, key=lambda name: sized[name])
    unknown = [name for name in ahead.effort.scorers if name not in sized]
    text = f"about {in_words(peak)}{'' if ahead.cpu else ' of the GPU'} at most, for scoring by {largest}"
    return text + (f", unknown for {', '.join(unknown)}" if unknown else "")


def time(spec: AuditSpec, ahead: Forecast) -> str:
    """An estimate, its larger parts, and what it rests on."""
    if not any(ahead.prospect.sizes.values()) and not spec.backend.server:
        return "unknown, as are the sizes of the models."
    seconds = ahead.effort.seconds(ahead.asked)
    total = sum(seconds.values())
    parts = []
    if ahead.asked:
        larger = [f"{what} {_short(took)}" for what, took in seconds.items() if took > total / 20]
        parts.append(f"{_duration(total)} ({', '.join(larger)})")
    if unknown := sorted(set(spec.suites) - {each.suite for each in ahead.asked}):
        hundred = [questions(spec, unknown[0], 100)]
        each = ahead.effort.generating(hundred) + ahead.effort.scoring(hundred)
        parts.append(f"{_duration(each)} for each 100 prompts of suites still to be fetched")
    text = f"{', and '.join(parts)}"
    if left_out := _not_reckoned(spec, ahead):
        text += f"; without {' and '.join(left_out)}"
    text += "; less where answers end before their limit, or are stored already"
    return f"{text}. {_basis(ahead)}"


def _not_reckoned(spec: AuditSpec, ahead: Forecast) -> list[str]:
    """What the estimate of time leaves out, with the reason."""
    found = []
    if (server := spec.backend.server) and not ahead.effort.served:
        found.append(f"generating, which {server} does")
    if isinstance(spec.backend, Vllm):
        found.append("generating, as vLLM's speed is not reckoned")
    if not server and (names := ahead.prospect.of_unknown_size):
        found.append(f"{', '.join(names)}, of unknown size")
    if asked := [name for name, scorer in spec.scorers.items() if scorer.asks_server]:
        found.append(f"{', '.join(asked)}, which a server answers")
    return found


def _basis(ahead: Forecast) -> str:
    """What the estimate of time rests on."""
    if served := ahead.effort.served:
        limit = ahead.prospect.spec.generation.max_new_tokens
        return f"Measured just now: the server takes {served.answer(limit):.2g} s for an answer of {limit} tokens."
    if ahead.cpu:
        n = ahead.cpu.threads
        return f"Measured just now: {ahead.cpu.flops / 1e9:.0f} GFLOP/s in float32 by {n} thread{'s' * (n > 1)}."
    return f"Within a factor of three: a GPU at {GPU_FLOPS / 1e12:g} TFLOP/s, which it exceeds in large batches."


def _duration(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    unit, name = (60, "minute") if seconds < 90 * 60 else (3600, "hour") if seconds < 36 * 3600 else (86400, "day")
    count = seconds / unit
    n = round(count) if count >= 10 else round(2 * count) / 2
    return f"about {n:,g} {name}{'s' * (n > 1)}"


def _short(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s"
