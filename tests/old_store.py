"""A store as toxaudit kept it before there was a database: records as lines of JSON, posteriors in folders."""

import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from toxaudit.store import seals
from toxaudit.store.shelves import RECORDS


def turned_back(root: Path) -> None:
    """Make of a store of today the one that it would have been then."""
    with closing(sqlite3.connect(root / RECORDS)) as connection:
        rows = connection.execute(
            "SELECT place, identity, name, value FROM shelf LEFT JOIN record ON shelf = number ORDER BY place"
        ).fetchall()
    for place, identity, name, value in rows:
        kind, folder = place.decode().split("/")[0], root / place.decode()
        if kind == "posteriors":
            folder.mkdir(parents=True)
            told, _, draws = value.partition(b"\n")
            (folder / "posteriors.json").write_bytes(told)
            (folder / "draws.parquet").write_bytes(draws)
            seals.seal(place.decode(), folder, folder.with_name(folder.name + ".sha256"))
        elif kind in ("checks", "commitments", "completions", "scores", "decisions"):
            folder.mkdir(parents=True, exist_ok=True)
            content = json.loads(identity)
            (folder / "identity.json").write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False))
            if name is not None:
                with (folder / "records.jsonl").open("ab") as file:
                    file.write(line(place.decode(), name.decode(), json.loads(value)))
    for file in root.glob(f"{RECORDS}*"):
        file.unlink()


def line(place: str, name: str, value: object) -> bytes:
    """A record as it was written."""
    body = json.dumps({"key": name, "value": value}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    told = sha256(place.encode() + b"\n" + body).hexdigest()[:16]
    return body[:-1] + f', "sum": "{told}"}}\n'.encode()
