"""Why a request to a server came to nothing, by the statuses that tell whose it is to mend."""

NOT_NOW_STATUSES = (408, 425, 429, 502, 503, 504)
"""Statuses by which a server says that it, or what stands before it, can't answer for the time being."""

NO_KEY_STATUSES = (401, 403)
"""Statuses by which a server wants a key, or another one; the user must mend that."""

NOT_THERE_STATUSES = (301, 302, 303, 307, 308, 404, 405)
"""Statuses by which a server has nothing at the address that was asked; the user must mend that."""

BUSY_STATUS = 429
"""The status by which a server says that it gets too many requests."""

FORBIDDEN_STATUS = 403
"""The status by which a server forbids a request: for its key, or for the prompt in it."""


class Problem(Exception):
    """Why a request came to nothing.

    ``status`` is the server's, or None where it did not answer; ``wait`` is how many seconds it asks to be left alone.
    """

    def __init__(self, said: str, status: int | None = None, wait: float = 0.0) -> None:
        super().__init__(said)
        self.status, self.wait = status, wait

    @property
    def away(self) -> bool:
        """Whether the server can't be reached, rather than that it fails at this question."""
        return self.status is None or self.status in NOT_NOW_STATUSES

    @property
    def fails(self) -> str:
        """What the server does, in words."""
        if self.status == BUSY_STATUS:
            return "has no time for us"
        return "can't be reached" if self.away else "gives no answer"

    @property
    def may_pass(self) -> bool:
        """Whether the same question may be answered another time."""
        return self.away or self.status == 200 or (self.status or 0) >= 500


class Stopped(Problem):
    """A question was not asked, since no more are to be."""

    def __init__(self) -> None:
        super().__init__("the run was stopped")
