"""Whatever workers answer, forget, double or take with them: each request is answered once, or there is no result."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.backends.request import Request
from toxaudit.errors import ToxauditError
from toxaudit.executors.ledger import FEWEST, MOST_DEATHS, Work, require_all
from toxaudit.records import Prompt


def work(number):
    requests = [Request("base", Prompt(f"p{place}", "mine", "Why?")) for place in range(number)]
    return Work([], requests, None, deque(range(number)))


@given(number=st.integers(1, 2000), workers=st.integers(1, 9))
def test_shares_make_up_the_whole(number, workers):
    asked, handed = work(number), []
    while asked.waiting:
        share = asked.share(workers)
        handed += share.numbers
        asked.answered(share, sorted(share.numbers))
        asked.finished(share)
    assert sorted(handed) == list(range(number))
    require_all([asked])


def test_one_worker_gets_all_of_what_is_little_and_many_get_parts_that_shrink():
    assert len(work(2 * FEWEST).share(1).numbers) == 2 * FEWEST
    asked = work(100 * FEWEST)
    sizes = [len(asked.share(2).numbers) for _ in range(5)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 25 * FEWEST and sizes[-1] >= FEWEST


def test_what_dead_workers_had_in_hand_is_handed_out_first():
    asked = work(600)
    share = asked.share(2)
    asked.answered(share, sorted(share.numbers)[:10])
    left = set(share.numbers)
    asked.lost(share, "it was killed")
    assert asked.waiting == asked.lacking == 590
    assert asked.share(2).numbers == left


def test_a_share_over_which_worker_after_worker_dies_ends_the_audit():
    asked = work(5)
    for _ in range(MOST_DEATHS - 1):
        asked.lost(asked.share(1), "it was killed")
    with pytest.raises(ToxauditError, match="3 workers died over the same 5 prompts, the last one as it was killed"):
        asked.lost(asked.share(1), "it was killed")


@pytest.mark.parametrize("told", [[3, 3], [17], [-1], [400]])
def test_what_is_answered_twice_or_unasked_is_refused(told):
    asked = work(300)
    share = asked.share(2)
    with pytest.raises(ToxauditError, match="twice, or unasked: nothing is decided"):
        if told == [17]:
            asked.answered(share, told)
            asked.lost(share, "it was slow")
            asked.answered(asked.share(2), told)
        asked.answered(share, told)


def test_a_share_with_a_gap_is_refused():
    asked = work(8)
    share = asked.share(1)
    asked.answered(share, [0, 1, 2, 4, 5, 6, 7])
    with pytest.raises(ToxauditError, match="left out 1 of the prompts that it was handed, such as prompt p3 of mine"):
        asked.finished(share)
    with pytest.raises(ToxauditError, match="left 1 prompts unanswered"):
        require_all([asked])
