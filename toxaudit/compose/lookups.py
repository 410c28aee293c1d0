"""What a spec may look up: its own values by ``${KEY}``, and nothing of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import UnsupportedInterpolationType


@contextmanager
def only_own_values() -> Iterator[None]:
    """Take every resolver away meanwhile, whoever registered it: OmegaConf's own, Hydra's, and those of plugins.

    One such as ``oc.env`` would put a secret of this machine wherever a stranger's spec wants it: into an address, a
    card, or what is published. None is left to be called, however a spec spells or hides it.
    """
    known = BaseContainer._resolvers
    BaseContainer._resolvers = {}
    try:
        yield
    finally:
        BaseContainer._resolvers = known


def refusal(key: str | None, error: UnsupportedInterpolationType) -> str:
    """A sentence for a value that asks a resolver."""
    resolver = (error.msg or str(error)).split("\n")[0].split()[-1]
    return (
        f"'{key}' is to be looked up by '{resolver}', which a spec can't: only its own values, by ${{KEY}}. Write the "
        f"value itself, or {key}=VALUE on the command line, where your shell fills in variables; of a server's key, "
        "api_key_env names the variable."
    )
