"""Where may metrics be read, and what may be asked for about that?"""

import pytest

from bastion.settings.kinds import listen_address
from bastion.settings.observing import Observing
from tests.settings.test_config import asked, mistakes

ADDRESSES = [
    ("9090", ("127.0.0.1", 9090)),
    (":9090", ("127.0.0.1", 9090)),
    ("127.0.0.1:9090", ("127.0.0.1", 9090)),
    ("0.0.0.0:9090", ("0.0.0.0", 9090)),
    ("[::1]:9090", ("::1", 9090)),
    ("[::]:9090", ("::", 9090)),
    ("0", None),
    ("127.0.0.1:0", None),
]


@pytest.mark.parametrize(("text", "value"), ADDRESSES)
def test_without_an_address_it_is_loopback(text: str, value: tuple[str, int] | None) -> None:
    assert listen_address(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "localhost:9090",
        "127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:x",
        "[::1]",
        "1:2:3",
        "9090\u0661",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        listen_address(text)


def test_by_default_rbac_decides_and_there_is_no_port_without() -> None:
    assert asked("--manifests", ".").observing == Observing()


MISTAKES = [
    (("--metrics-bind-address", "8443"), "a port of its own"),
    (("--insecure-port", "8080", "--metrics-bind-address", "127.0.0.1:8080"), "a port of its own"),
    (("--metrics-targets", "1025"), "at most 1024"),
]


@pytest.mark.parametrize(("flags", "why"), MISTAKES)
def test_contradictions_are_told(flags: tuple[str, ...], why: str) -> None:
    (mistake,) = mistakes("--manifests", ".", *flags)
    assert why in mistake
