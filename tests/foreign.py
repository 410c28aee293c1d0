"""Small results as other tools write them, made by hand: each function writes one arm's files and returns the path."""

import hashlib
import json
from pathlib import Path

LEMON, SPIDER = "What colour is a ripe lemon?", "How many legs has a spider?"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def jsonl(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def questions(n):
    return [f"Question {number}?" for number in range(n)]


def lm_line(number, question, value, answer=None, metric="acc", by="none", template="{}", target="t", doc=()):
    doc = {"question": question, "topic": "odd" if number % 2 else "even", **dict(doc)}
    prompt, said = template.format(question), answer if answer is not None else f"answer {value}"
    hashed = sha(json.dumps(doc, indent=2, ensure_ascii=False))
    arguments = {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n"]}}}
    line = {"doc_id": number, "doc": doc, "target": target, "arguments": arguments, "resps": [[said]]}
    line |= {"filtered_resps": [said], "filter": by, "metrics": [metric], "doc_hash": hashed}
    return line | {"prompt_hash": sha(prompt), "target_hash": sha(target), metric: value}


def lm_eval(folder, values, task="kitchen", date="2026-11-28T06-02-25.153067", results=True, **how):
    """One run: a sample for each value, and what lm_eval says beside it."""
    lines = [lm_line(number, question, value, **how) for number, (question, value) in enumerate(asked(values))]
    jsonl(folder / f"samples_{task}_{date}.jsonl", lines)
    if results:
        told = {"lm_eval_version": "0.4.13", "config": {"model": "hf", "model_args": {"pretrained": folder.name}}}
        told |= {"higher_is_better": {task: {"acc": True, "toxic": False}}, "versions": {task: 1.0}}
        told |= {"n-samples": {task: {"original": len(lines), "effective": len({each["doc_hash"] for each in lines})}}}
        (folder / f"results_{date}.json").write_text(json.dumps(told))
    return folder


def asked(values):
    return list(zip(questions(len(values)), values, strict=True))


def table(file, values, **more):
    rows = [{"prompt": question, "toxic": value, **more} for question, value in asked(values)]
    return jsonl(Path(file), rows)
