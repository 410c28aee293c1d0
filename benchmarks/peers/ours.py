"""toxaudit's default backend: the base, or the base and adapters, as an audit asks them."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import measured


def work(job: measured.Job, watch: measured.Watch) -> measured.Answers | str:
    """Answer by the base and every adapter; with ``warm``, after a few; with ``profile``, tell where the time went."""
    with watch("loading"):
        from toxaudit.backends.request import Request
        from toxaudit.backends.transformers import Transformers
        from toxaudit.executors.local import LocalExecutor
        from toxaudit.models import Loader, resolve_base, resolve_candidate
        from toxaudit.records import Prompt
        from toxaudit.spec.schema import CandidateSpec, Generation, ModelSpec
        from toxaudit.store.shelves import Store

        device = LocalExecutor(device="cpu").start()
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Path(scratch))
            base = resolve_base(ModelSpec(pretrained=job["model"], dtype=job["dtype"]), device, store)
            specs = {name: CandidateSpec(peft=each, allow_base_mismatch=True) for name, each in job["adapters"].items()}
            arms = [base, *(resolve_candidate(name, spec, base, device, store) for name, spec in specs.items())]
            opened = Transformers(batch_size=job["batch"]).open(Loader(device), arms)
            session = opened.__enter__()
    asked = [Request(arm.name, Prompt(str(n), "suite", text)) for arm in arms for n, text in enumerate(job["texts"])]

    def generate(most: int = len(asked)) -> dict[tuple[str, int], measured.Answer]:
        some = [request for request in asked if int(request.prompt.id) < most]
        batches = session.generate(some, Generation(max_new_tokens=job["tokens"]), lambda request: False)
        return {
            (request.arm, int(request.prompt.id)): {"text": completion.text, "tokens": completion.tokens}
            for batch in batches
            for request, completion in batch
        }

    if job.get("warm") or job.get("profile"):
        generate(measured.FEW)  # the first run pays for what later ones find prepared
    if job.get("profile"):
        return _profiled(generate)
    with watch("generating"):
        found = generate()
    opened.__exit__(None, None, None)
    return {arm.name: [found[arm.name, number] for number in range(len(job["texts"]))] for arm in arms}


def _profiled(generate: Callable[[], object]) -> str:
    """A table of operations by the processor's time."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as taken:
        generate()
    table: str = taken.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=40)
    return table


if __name__ == "__main__":
    measured.run(work)
