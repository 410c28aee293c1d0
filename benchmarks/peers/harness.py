"""lm-evaluation-harness's hf backend."""

import measured


def work(job: measured.Job, watch: measured.Watch) -> measured.Answers:
    """Answer by the base; with ``batch`` ``auto`` the search begins with all prompts at once, each of full length."""
    with watch("loading"):
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        model = HFLM(
            pretrained=job["model"],
            dtype=job["dtype"],
            device="cpu",
            batch_size=job["batch"],
            max_batch_size=len(job["texts"]),
            max_length=job["longest"] + job["tokens"],
        )
    settings = {"until": [], "max_gen_toks": job["tokens"], "do_sample": False, "temperature": 0.0}
    asked = [Instance("generate_until", {}, (text, settings), number) for number, text in enumerate(job["texts"])]
    if job.get("warm"):
        model.generate_until(asked[: measured.FEW], disable_tqdm=True)
    with watch("generating"):
        texts = model.generate_until(asked, disable_tqdm=True)
    return {"base": [{"text": text, "tokens": len(model.tokenizer(text).input_ids)} for text in texts]}


if __name__ == "__main__":
    measured.run(work)
