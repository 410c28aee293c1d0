"""Whom a file alone can't make this machine trust: a server with a key, a cluster with what it runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from toxaudit.compose.overrides import parse
from toxaudit.errors import ToxauditError
from toxaudit.remote.server import Server
from toxaudit.spec.schema import AuditSpec

ADDRESSES = ("base_url", "endpoint")
"""The fields of backends and scorers that hold a server's address."""


def check(spec: AuditSpec, overrides: Sequence[str]) -> None:
    """Refuse to send the value of an environment variable where only files, maybe a stranger's, want it sent.

    Raises:
        ToxauditError: if a key is set that would go to another machine, and the command line names neither the variable
            nor, where that is the usual one, the address; or if only a file names a cluster.
    """
    _check_cluster(spec, overrides)
    scorers = {f"scorers.{name}": each for name, each in spec.scorers.items()}
    check_parts({"backend": spec.backend, **scorers}, overrides)


def check_parts(parts: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """As ``check``, of some parts by their keys."""
    tops = tuple(part.partition(".")[0] for part in parts)
    said = {key for text in overrides if text.startswith(tops) for key in _keys(text)}
    for where, part in parts.items():
        variable = getattr(part, "api_key_env", None)
        field = next((field for field in ADDRESSES if getattr(part, field, None)), None)
        if not variable or not field or f"{where}.api_key_env" in said:
            continue
        usual = variable == type(part).api_key_env
        server = Server(getattr(part, field), variable, timeout=1, retries=0)
        if server.sends_key_away and not (usual and f"{where}.{field}" in said):
            raise ToxauditError(
                f"{where}: the key in {variable} would go to {server.host}, which only a file says: add "
                f"{where}.api_key_env={variable} to the command if that server may have it, or "
                f"{where}.api_key_env=null to send none."
            )


def _check_cluster(spec: AuditSpec, overrides: Sequence[str]) -> None:
    """Refuse a cluster that only files name: who holds one can let this process run what they like."""
    address = getattr(spec.executor, "address", None)
    said = {key for text in overrides if text.startswith("executor") for key in _keys(text)}
    if address and "executor.address" not in said:
        raise ToxauditError(
            f"executor.address is {address}, which only a file says: add executor.address={address} to the command if "
            "you trust that cluster with this machine."
        )


def _keys(text: str) -> list[str]:
    """The keys that one override sets, those within a mapping as well."""
    override = parse(text)
    value = None if override.is_delete() or override.is_sweep_override() else override.value()
    return [override.key_or_group, *_within(override.key_or_group, value)]


def _within(key: str, value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [each for name, inner in value.items() for each in (f"{key}.{name}", *_within(f"{key}.{name}", inner))]
