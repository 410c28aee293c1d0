"""The Hub of a test module, and its real client."""

from collections.abc import Iterator

import pytest
from hub_server import Hub, serve
from pushing import TOKENS, Client, client


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve() as found:
        found.tokens = TOKENS
        yield found


@pytest.fixture(scope="module")
def alice(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with client(hub.url, tmp_path_factory.mktemp("client")) as found:
        yield found
