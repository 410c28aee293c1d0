"""Questions that others answer, asked several at once: in threads that nobody has to await."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def all_at_once(
    answer: Callable[[Asked], Answer], questions: Iterable[Asked], threads: int, over: Event
) -> Iterator[list[tuple[Asked, Answer]]]:
    """Answer questions, several at once, and yield those that were answered meanwhile together.

    Where one raises, no more are begun; those under way are awaited and yielded, and then the first error is raised.
    The interpreter doesn't await these threads at its end, as it would a pool's: an interrupted run ends although a
    server is silent.

    Args:
        answer: answers one question; it is called in the threads.
        questions: the questions, which are taken in their order.
        threads: how many questions may be under way at once.
        over: is set as soon as no more questions are to be asked.
    """
    todo: SimpleQueue[tuple[Asked] | None] = SimpleQueue()
    came: SimpleQueue[tuple[Asked, Answer] | BaseException] = SimpleQueue()

    def work() -> None:
        while each := todo.get():
            try:
                came.put((each[0], answer(each[0])))
            except BaseException as error:
                came.put(error)

    left, under_way, started = iter(questions), 0, 0
    failure: BaseException | None = None
    try:
        while True:
            for question in islice(left, 0 if failure else threads - under_way):
                todo.put((question,))
                under_way += 1
            while started < under_way:
                Thread(target=work, daemon=True).start()
                started += 1
            if not under_way:
                break
            ended = [came.get(), *(came.get() for _ in range(came.qsize()))]
            under_way -= len(ended)
            answered = [each for each in ended if isinstance(each, tuple)]
            failures = [each for each in ended if isinstance(each, BaseException)]
            if failures:
                failure = failure or failures[0]
                over.set()
            if answered:
                yield answered
        if failure:
            raise failure
    finally:
        over.set()
        for _ in range(started):
            todo.put(None)
