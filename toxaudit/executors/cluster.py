"""Ray itself: joined or started, without what it would tell others of, and left again."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from math import floor
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.executors.worker import Told, Worker
from toxaudit.machine import threads

TRIES = 3
"""How often Ray is started: on a busy machine its head may give up before it is up."""

KNOCK_SECONDS = 10.0
"""Seconds within which a cluster's head must take a connection."""

STORE_BYTES = 2**28
"""Bytes of memory for what is handed to workers: prompts, but no weights."""


SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that stop a command."""


class Actor(Worker):
    """A worker that knows on which of Ray's nodes it runs."""

    def __init__(self, told: Told) -> None:
        """Load nothing yet."""
        super().__init__(told, _node())


def join(address: str | None, needs: dict[str, float], most: int | None) -> str:
    """Join a cluster, or start one of this machine alone; the name of the node that this process is on.

    Raises:
        ToxauditError: if that fails.
    """
    if address:
        _knock(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if address is None:
        cpus = max(threads.cores(), int(needs["CPU"]) * (most or 1))
        how |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    for left in reversed(range(1 if address else TRIES)):
        try:
            with heeding():
                ray.init(address=address or "local", **how)
            return _node()
        except Exception as error:  # it raises this very class, too
            leave()
            if not left:
                raise _refused(address, error) from error
    raise AssertionError("it is joined or refused")


def _knock(address: str) -> None:
    """Refuse an address at which nobody answers: Ray would try it for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return  # auto
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _refused(address, error) from error


def _refused(address: str | None, error: Exception) -> ToxauditError:
    """What Ray says of why it can't be had, as a sentence."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if address is None:
        return ToxauditError(f"Ray does not start: {said}; try again when this machine has less to do.")
    return ToxauditError(
        f"The Ray cluster at {address} can't be joined: {said}; see whether its head runs, and whether this machine is "
        "one of its nodes."
    )


def leave() -> None:
    """Leave the cluster; one that was started here ends."""
    import ray

    with heeding():
        ray.shutdown()


def room(needs: dict[str, float]) -> tuple[int, int]:
    """For how many workers the living nodes have room, each on one of them, and how many nodes that are."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fit = [min(floor(node.get(what, 0) / number) for what, number in needs.items()) for node in nodes]
    return sum(fit), sum(map(bool, fit))


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


@contextmanager
def heeding() -> Iterator[None]:
    """Within Ray's own code, signals to stop end that first, and then do what they do in this process.

    Ray would turn the exception by which they stop a command into another one, and puts a handler of its own in their
    place when it starts.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        raise KeyboardInterrupt  # which it lets through

    here = current_thread() is main_thread()  # Python heeds signals there only
    before = {each: handler for each in SIGNALS if here and callable(handler := signal.getsignal(each))}
    try:
        for each in before:
            signal.signal(each, note)
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        by_ray = isinstance(error, SystemExit) and error.code == signal.SIGTERM  # the end of Ray's own handler
        noted += [signal.SIGTERM] * (by_ray and not noted)
        if not noted:
            raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in noted[:1]:
            signal.raise_signal(number)
