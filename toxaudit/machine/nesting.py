"""Loaders of strangers' YAML that stop where brackets stand too deep in one another.

PyYAML looks at all brackets that are open before each token: without a limit, five thousand of them cost seconds.
"""

from typing import Any

import yaml
from yaml.scanner import Scanner

DEEPEST = 50
"""Levels of lists and mappings in one another."""


class _Shallow(Scanner):
    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803  (PyYAML's name)
        """Stop at brackets that are too deep where they open, before any value is made."""
        if self.flow_level == DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass)


class ShallowLoader(_Shallow, yaml.SafeLoader):
    """Reads what ``yaml.SafeLoader`` reads; raises RecursionError at brackets deeper than ``DEEPEST``."""


class ShallowTextLoader(_Shallow, yaml.BaseLoader):
    """Reads all values as texts, lists and mappings; raises RecursionError at brackets deeper than ``DEEPEST``."""
