"""The one door to Hydra: it reads a catalogue's names where it would read files, and composes an audit of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from hydra import compose as hydra_compose
from hydra import initialize
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from toxaudit.compose.lookups import only_own_values
from toxaudit.errors import ToxauditError
from toxaudit.registry import SEVERAL
from toxaudit.spec.schema import AuditSpec

OPEN = "generation.chat_template_kwargs."
"""How overrides begin that may name a key which the spec lacks: only the models' templates know which there are."""


class Names(Protocol):
    """The names of each group, and what they stand for."""

    names: dict[str, set[str]]

    def node(self, group: str, name: str) -> DictConfig:
        """What a name stands for, to be changed at will."""

    def explain(self, group: str, name: str) -> str:
        """Why a group has no usable name."""


class CatalogueSource(ConfigSource):
    """A catalogue as Hydra asks for it: ``scorer/vowels`` is the name ``vowels`` of the group ``scorer``.

    Hydra's own store would hold every name and be copied whole for each audit; here, only what is selected is copied.
    """

    catalogue: Names
    """The one that is being composed from."""

    @staticmethod
    def scheme() -> str:
        """How Hydra knows this source."""
        return "toxaudit"

    def load_config(self, config_path: str) -> ConfigResult:
        """What a name stands for, and where it goes in the audit."""
        group, name = self._parted(config_path)
        where = "_global_" if group == "audit" else f"{SEVERAL[group]}.{name}" if group in SEVERAL else group
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=self.catalogue.node(group, name),
            header={"package": where},
        )

    def is_group(self, config_path: str) -> bool:
        """Whether there is such a group."""
        return config_path.rstrip("/") in self.catalogue.names

    def is_config(self, config_path: str) -> bool:
        """Whether there is such a name."""
        group, name = self._parted(config_path)
        return name in self.catalogue.names.get(group, ())

    def available(self) -> bool:
        """A catalogue is always there."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The names of a group."""
        return [] if results_filter == ObjectType.GROUP else sorted(self.catalogue.names.get(config_path, ()))

    @staticmethod
    def _parted(config_path: str) -> tuple[str, str]:
        group, _, name = config_path.rstrip("/").removesuffix(".yaml").partition("/")
        return group, name


HYDRA_FAILS = (ValueError, TypeError, AttributeError, KeyError, AssertionError)
"""What Hydra raises of values that it did not think of; OmegaConf's errors are some of these, too."""

Plugins.instance().register(CatalogueSource)
ConfigStore.instance().store(name="toxaudit", node=AuditSpec)


@contextmanager
def _without_groups_of_its_own() -> Iterator[None]:
    """Within it Hydra's own settings select none of the files that come with it, of logging, launchers and help.

    What is composed here reads nothing of them, and they took a third of the time. Other users of Hydra in this process
    find all as it was.
    """
    own = ConfigStore.instance().repo["hydra"]
    kept = own["config.yaml"]
    ConfigStore.instance().store(group="hydra", name="config", node=HydraConf(defaults=[]), provider="hydra")
    try:
        yield
    finally:
        own["config.yaml"] = kept


def composed(catalogue: Names, overrides: Sequence[str]) -> DictConfig:
    """What Hydra makes of overrides and of a catalogue's names.

    Raises:
        ToxauditError: if Hydra fails at them in another way than by an error of its own.
    """
    CatalogueSource.catalogue = catalogue
    GlobalHydra.instance().clear()
    source = f"hydra.searchpath=[{CatalogueSource.scheme()}://]"
    told = [f"++{each}" if each.startswith(OPEN) else each for each in overrides]
    try:
        with (
            initialize(version_base="1.3", config_path=None),
            only_own_values(),  # after that, which registers some look-ups
            _without_groups_of_its_own(),
        ):
            return hydra_compose("toxaudit", overrides=[source, *told])
    except HYDRA_FAILS as error:
        if isinstance(error, OmegaConfBaseException):
            raise
        raise ToxauditError(f"No audit can be made of {' '.join(overrides)}: {error}.") from error
