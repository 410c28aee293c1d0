"""vLLM's offline engine: the base, or the base and adapters as LoRA requests, all handed over at once."""

import measured


def work(job: measured.Job, watch: measured.Watch) -> measured.Answers:
    """Answer by the base and every adapter."""
    from transformers import AutoTokenizer

    with watch("loading"):
        from vllm import LLM, SamplingParams
        from vllm.lora.request import LoRARequest

        room = {"enable_lora": True, "max_loras": len(job["adapters"]) + 1, "max_lora_rank": job["rank"]}
        model = LLM(
            model=job["model"],
            dtype=job["dtype"],
            generation_config="vllm",
            max_model_len=job["longest"] + job["tokens"],
            kv_cache_memory_bytes=2 * 2**30,
            enforce_eager=job["eager"],
            **(room | {"lora_target_modules": job["modules"]} if job["adapters"] else {}),
        )
        tokenizer = AutoTokenizer.from_pretrained(job["model"])
    settings = SamplingParams(
        temperature=0.0, max_tokens=job["tokens"], stop_token_ids=job["stops"], ignore_eos=True, detokenize=False
    )
    arms = {"base": None} | {
        name: LoRARequest(name, number, folder) for number, (name, folder) in enumerate(job["adapters"].items(), 1)
    }

    def generate(texts: list[str]) -> list[list[int]]:
        rows = tokenizer(texts).input_ids
        asked = [({"prompt_token_ids": row}, lora) for lora in arms.values() for row in rows]
        prompts, adapters = map(list, zip(*asked, strict=True))
        outputs = model.generate(prompts, settings, use_tqdm=False, lora_request=adapters)
        return [list(output.outputs[0].token_ids) for output in outputs]

    if job.get("warm"):
        generate(job["texts"][: measured.FEW])
    with watch("generating"):
        new = generate(job["texts"])
    found = iter([measured.answer(tokenizer, row, job["stops"]) for row in new])
    return {arm: [next(found) for _ in job["texts"]] for arm in arms}


if __name__ == "__main__":
    measured.run(work)
