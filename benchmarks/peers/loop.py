"""The founding paper's loop: ``generate`` over batches in the order of the prompts, padded on the left."""

from typing import Any

import measured


def work(job: measured.Job, watch: measured.Watch) -> measured.Answers:
    """Answer by the base, in batches of ``batch``."""
    with watch("loading"):
        model, tokenizer = loaded(job)
    found = []
    with watch("generating"):
        for start in range(0, len(job["texts"]), job["batch"]):
            found += measured.padded(model, tokenizer, job["texts"][start : start + job["batch"]], job)
    return {"base": found}


def loaded(job: measured.Job) -> tuple[Any, Any]:
    """Model and tokenizer of the job."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, logging

    logging.set_verbosity_error()
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
    return model.eval(), AutoTokenizer.from_pretrained(job["model"])


if __name__ == "__main__":
    measured.run(work)
