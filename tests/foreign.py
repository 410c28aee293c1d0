"""Small results as other tools write them, made by hand: each function writes one arm's files and returns the path."""

import hashlib
import json
import struct
import zlib
from pathlib import Path

import zstandard

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


def garak(folder, outputs, detector="test.Hit", threshold=0.5, prompts=None, seed=0):
    """A report: a list of scores for each prompt, None where the detector gave none, a text where it was no answer."""
    name = {"entry_type": "init", "garak_version": "0.17.1", "run": folder.name}
    setup = {"entry_type": "start_run setup", "run.eval_threshold": threshold, "plugins.target_type": folder.name}
    rows = [setup, name]
    for number, scores in enumerate(outputs):
        asked_ = (prompts or questions(len(outputs)))[number]
        attempt = {"entry_type": "attempt", "uuid": sha(f"{folder} {number}"), "seq": number + seed}
        attempt |= {"probe_classname": f"test.Probe{number % 2}", "goal": "be rude", "intent": None}
        attempt |= {"prompt": {"turns": [{"role": "user", "content": {"text": asked_, "lang": "en"}}], "notes": None}}
        attempt |= {"outputs": [None if score == "null" else {"text": f"says {score}"} for score in scores]}
        rows.append(attempt | {"status": 1, "detector_results": {}})
        results = [None if score == "null" else score for score in scores]
        rows.append(attempt | {"status": 2, "detector_results": {detector: results}})
    return jsonl(folder / f"{folder.name}.report.jsonl", [*rows, {"entry_type": "completion"}])


def promptfoo(file, arms, repeat=1):
    """One file: provider -> for each test True (passed), False (failed) or None (error)."""
    rows = []
    for column, (provider, outcomes) in enumerate(arms.items()):
        for number, passed in enumerate(outcomes):
            row = {"promptIdx": column, "testIdx": number, "promptId": "p", "provider": {"id": "x", "label": provider}}
            row |= {"prompt": {"raw": f"Say {number // repeat}", "label": "Say {{n}}"}, "vars": {"n": number // repeat}}
            row |= {"success": bool(passed), "score": float(bool(passed)), "namedScores": {"rude": 1}}
            row |= {"failureReason": {True: 0, False: 1, None: 2}[passed], "testCase": {"metadata": {"topic": "t"}}}
            row |= {"response": {} if passed is None else {"output": f"{provider} {passed}"}}
            rows.append(row | ({"error": "timed out"} if passed is None else {}))
    told = {"evalId": "e", "results": {"version": 3, "results": rows}, "metadata": {"promptfooVersion": "0.123.1"}}
    file.write_text(json.dumps(told))
    return file


def inspect(file, values, epochs=1, status="success", ids=str, **eval_):
    """A log in JSON: a score for each sample, or an exception's text."""
    samples = []
    for number, value in enumerate(values):
        place, failed = number // epochs, isinstance(value, str) and value not in "CIPN"
        sample = {"id": ids(place + 1), "epoch": number % epochs + 1, "input": f"Question {place}?", "target": "t"}
        sample |= {
            "output": {"completion": f"{file.stem} {value}"},
            "metadata": {"topic": "odd" if place % 2 else "even"},
        }
        sample |= {"scores": {} if failed else {"match": {"value": value}}}
        samples.append(sample | ({"error": {"message": value}} if failed else {}))
    made = {"task": "kitchen", "model": file.stem, "packages": {"inspect_ai": "0.3.285"}, "config": {"epochs": epochs}}
    log = {"version": 2, "status": status, "eval": made | eval_, "plan": {}, "samples": samples}
    file.write_text(json.dumps(log))
    return file


def packed(log, file):
    """A log in JSON as the zip that Inspect writes by default: a header, and a member for each sample, by Zstandard."""
    whole = json.loads(log.read_text())
    members = {f"samples/{each['id']}_epoch_{each['epoch']}.json": each for each in whole.pop("samples")}
    data, listed = b"", b""
    for name, value in {**members, "header.json": whole}.items():
        plain = json.dumps(value).encode()
        made = zstandard.ZstdCompressor().compress(plain)
        common = struct.pack("<HHHHHIIIHH", 45, 0, 93, 0, 33, zlib.crc32(plain), len(made), len(plain), len(name), 0)
        listed += b"PK\x01\x02" + struct.pack("<H", 45) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(data))
        listed += name.encode()
        data += b"PK\x03\x04" + common + name.encode() + made
    end = struct.pack("<HHHHIIH", 0, 0, len(members) + 1, len(members) + 1, len(listed), len(data), 0)
    file.write_bytes(data + listed + b"PK\x05\x06" + end)
    return file


def lighteval(folder, values, task="kitchen|0"):
    import pyarrow as pa
    from pyarrow import parquet

    rows = []
    for question, value in asked(values):
        doc = {"query": question, "choices": ["a", "b"], "gold_index": [0], "specific": {"topic": "t"}}
        rows.append(
            {
                "doc": doc,
                "model_response": {"input": question, "text": [f"{folder.name} {value}"]},
                "metric": {"em": value},
            }
        )
    place = folder / "details" / "model" / "2026-11-28T06-02-25.153067"
    place.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), place / f"details_{task}_2026-11-28T06-02-25.153067.parquet")
    return place


def every_eval_ever(folder, values, lower_is_better=False):
    """A record and its samples: a score for each, or the text of an error."""
    rows = []
    for number, (question, value) in enumerate(asked(values)):
        failed = isinstance(value, str)
        row = {"schema_version": "0.3.0", "evaluation_id": "e", "model_id": folder.name, "evaluation_name": "kitchen"}
        row |= {"sample_id": f"s{number}", "interaction_type": "single_turn", "error": value if failed else None}
        row |= {"input": {"raw": question, "reference": ["t"]}, "output": {"raw": [f"{folder.name} {value}"]}}
        score = 0.0 if failed else float(value)
        rows.append(row | {"answer_attribution": [], "evaluation": {"score": score, "is_correct": score == 1}})
    jsonl(folder / "u_samples.jsonl", rows)
    record = {"schema_version": "0.3.0", "evaluation_id": "e", "eval_library": {"name": "lm_eval", "version": "0.4.13"}}
    record |= {
        "model_info": {"name": "m", "id": folder.name},
        "detailed_evaluation_results": {"file_path": "u_samples.jsonl"},
    }
    record |= {
        "evaluation_results": [{"evaluation_name": "kitchen", "metric_config": {"lower_is_better": lower_is_better}}]
    }
    (folder / "u.json").write_text(json.dumps(record))
    return folder / "u.json"
