"""What the tests of kubeconfigs begin with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kubeconfigs import Plugin


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Any]:
    """Puts a kubeconfig (or any text) where it is asked for."""

    def put(name: Any, content: Any) -> Any:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return put


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)
