"""Rows out of a damaged database: every page of the file is read by itself, and what holds together is kept.

SQLite finds a row from page to page, so that one damaged page can hide many rows. Here the tree is not followed: each
page that holds rows of a table is read as https://www.sqlite.org/fileformat2.html says, in the file and in its log
(WAL). Whether a row is whole is for its checksum to say.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from toxaudit.store.opening import PAGE, Row, is_whole, number

LEAF, HEAD = 13, 8
"""The kind of pages that hold rows, and the bytes of their headers."""

POINTER = 4
"""Bytes of the number of a page."""

LOG_HEAD, FRAME_HEAD = 32, 24
"""Bytes before the log's first frame, and before each frame's page."""

LOCAL, LEAST = PAGE - 35, (PAGE - 12) * 32 // 255 - 23
"""Bytes of a row on its own page: at most, and at least where the rest is on other pages."""

INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Types of whole numbers -> their bytes."""


def rows(file: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a store's database that are whole, each with the name of its table."""
    with _Pages(file) as pages:
        for page in pages:
            for row in _of_page(page, pages):
                match row:
                    case _, int(shelf), int(), bytes(name), bytes(value), told if is_whole(shelf, name, value, told):
                        yield "record", (None, shelf, number(name), name, value, told)
                    case int(told), bytes(place), bytes(), int() if told == number(place):
                        yield "shelf", row


class _Pages:
    """The pages of a file and of its log; of a page that is in both, the log's is the later."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        log = file.with_name(file.name + "-wal")
        self._log = log.open("rb") if log.is_file() else None
        self._count = os.fstat(self._file.fileno()).st_size // PAGE
        self._frames = list(self._read_frames())
        self._latest = dict(self._frames)

    def __enter__(self) -> "_Pages":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._log:
            self._log.close()

    def _read_frames(self) -> Iterator[tuple[int, int]]:
        """The number of each page in the log, and where it begins."""
        size = os.fstat(self._log.fileno()).st_size if self._log else 0
        for start in range(LOG_HEAD, size - FRAME_HEAD - PAGE + 1, FRAME_HEAD + PAGE):
            assert self._log
            self._log.seek(start)
            yield int.from_bytes(self._log.read(POINTER), "big"), start + FRAME_HEAD

    def __iter__(self) -> Iterator[bytes]:
        for place in range(self._count):
            self._file.seek(place * PAGE)
            yield self._file.read(PAGE)
        for _, start in self._frames:
            yield self._of_log(start)

    def __getitem__(self, wanted: int) -> bytes:
        if wanted in self._latest:
            return self._of_log(self._latest[wanted])
        self._file.seek((wanted - 1) * PAGE)
        return self._file.read(PAGE)

    def _of_log(self, start: int) -> bytes:
        assert self._log
        self._log.seek(start)
        return self._log.read(PAGE)


def _of_page(page: bytes, pages: _Pages) -> Iterator[Row]:
    """The rows of a page, if it holds some; the first column is the row's number, which stands before the others."""
    count = int.from_bytes(page[3:5], "big") if page[0] == LEAF else 0
    for place in range(HEAD, HEAD + 2 * count, 2):
        try:
            size, start = _varint(page, int.from_bytes(page[place : place + 2], "big"))
            number, start = _varint(page, start)
            yield number - (number >> 63 << 64), *_row(_payload(page, start, size, pages))[1:]
        except (IndexError, ValueError, OverflowError, OSError):  # it is damaged
            continue


def _payload(page: bytes, start: int, size: int, pages: _Pages) -> bytes:
    """A row's bytes, of which the last may be on other pages, each of which begins with the number of the next."""
    if size <= LOCAL:
        return page[start : start + size]
    local = LEAST + (size - LEAST) % (PAGE - POINTER)
    local = local if local <= LOCAL else LEAST
    found = bytearray(page[start : start + local])
    following = int.from_bytes(page[start + local : start + local + POINTER], "big")
    while len(found) < size and following:
        page = pages[following]
        found += page[POINTER:]
        following = int.from_bytes(page[:POINTER], "big")
    return bytes(found[:size])


def _row(payload: bytes) -> Row:
    """The columns of a row: a header of their types, each of which says how long it is, and then the columns."""
    end, place = _varint(payload, 0)
    start, columns = end, list[object]()
    while place < end:
        kind, place = _varint(payload, place)
        size = INTEGERS.get(kind, 0) if kind < 12 else (kind - 12) // 2
        column = payload[start : start + size]
        if len(column) < size:
            raise ValueError("the row is cut off")
        start += size
        if kind >= 12:
            columns.append(column)
        else:
            columns.append(int.from_bytes(column, "big", signed=True) if size else {8: 0, 9: 1}.get(kind))
    return tuple(columns)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A whole number of one to nine bytes, and where it ends."""
    found = 0
    for count in range(8):
        byte = data[place + count]
        found = found << 7 | byte & 0x7F
        if byte < 0x80:
            return found, place + count + 1
    return found << 8 | data[place + 8], place + 9
