"""Inspect's hf provider, given the prompts as they are."""

import asyncio

import measured


def work(job: measured.Job, watch: measured.Watch) -> measured.Answers:
    """Answer by the base, in batches of ``batch``."""
    with watch("loading"):
        import torch
        from inspect_ai.model import GenerateConfig, get_model

        model = get_model(
            "hf/local",
            model_path=job["model"],
            device="cpu",
            dtype=getattr(torch, job["dtype"]),
            do_sample=False,
            chat_template="{{ messages[0]['content'] }}",
            config=GenerateConfig(max_tokens=job["tokens"], max_connections=job["batch"]),
        )

    async def ask() -> list[str]:
        answers = await asyncio.gather(*(model.generate(text) for text in job["texts"]))
        return [answer.completion for answer in answers]

    with watch("generating"):
        texts = asyncio.run(ask())
    tokenizer = model.api.tokenizer
    return {"base": [{"text": text, "tokens": len(tokenizer(text).input_ids)} for text in texts]}


if __name__ == "__main__":
    measured.run(work)
