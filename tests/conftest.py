"""How the whole suite is run: `pytest` alone takes several processes, `pytest SOMETHING` one, as who looks
into it wants.
"""

from __future__ import annotations

import hypothesis
import pytest

# what a busy machine takes for one example says nothing of the program
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# also on two cores: most of the time the tests wait, for real deadlines and for programs that start
PROCESSES = 4
# folders; they begin first, so that none is left for the end
LONGEST = ("e2e", "fuzz", "tunnel", "hostile", "demo", "soak", "conformance")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return PROCESSES if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    if hasattr(config, "workerinput"):
        items.sort(key=rank)
