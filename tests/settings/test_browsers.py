"""What may be asked for about browsers, and what does not go together?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bastion.kube.values import quoted
from bastion.runtime.errors import ConfigError
from bastion.settings.browsers import Browsers, host_suffix, public_url
from bastion.settings.config import serve_config


def asked(*flags: str) -> Browsers:
    return serve_config([*flags]).browsers


GOOD = [
    (host_suffix, "proxy.example.test", "proxy.example.test"),
    (host_suffix, ".Proxy.Example.test.", "proxy.example.test"),
    (host_suffix, "localhost", "localhost"),
    (host_suffix, "", ""),
    (public_url, "https://bastion.example.test", "https://bastion.example.test"),
    (public_url, "https://Bastion.example.test:8443/", "https://bastion.example.test:8443"),
    (public_url, "https://bastion.example.test:443", "https://bastion.example.test"),
    (public_url, "https://bastion.example.test:08443", "https://bastion.example.test:8443"),
    (public_url, "https://127.0.0.1:8443", "https://127.0.0.1:8443"),
    (public_url, "", ""),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_a_value_is_read(kind: Any, text: Any, value: Any) -> None:
    assert kind(text) == value


NONSENSE = [
    *((host_suffix, text) for text in ("a b", "a_b", "*.a", "a..b", "-a", "https://a", "a:1", "a/b", "é")),
    *(
        (public_url, text)
        for text in ("a", "http://a", "https://", "https://a/b", "https://a?b", "https://a#b", "https://u@a")
    ),
    *(
        (public_url, text)
        for text in (
            "https://a:",
            "https://a:0x1",
            "https://a:65536",
            "https://a b",
            "https://-a",
            "https://a\n",
        )
    ),
]


@pytest.mark.parametrize(("kind", "text"), NONSENSE)
def test_nonsense_is_refused_and_quoted(kind: Callable[[str], str], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind(text)
    assert quoted(text) in str(caught.value)


def test_what_is_not_said_has_a_default() -> None:
    assert asked() == Browsers(sign_in=True, key_file=None, host_suffix="", public_url="", key=b"")


def test_every_flag_arrives_where_it_belongs(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    flags = (
        "--sign-in=false",
        f"--session-key-file={key}",
        "--proxy-host-suffix=p.test",
        "--public-url=https://b.test",
    )
    assert asked(*flags) == Browsers(False, key, "p.test", "https://b.test")


CONTRADICTIONS = [
    (["--proxy-host-suffix=p.test"], "--proxy-host-suffix needs --public-url"),
    (
        ["--proxy-host-suffix=p.test", "--public-url=https://b.p.test"],
        "--public-url may not be under --proxy-host-suffix",
    ),
    ([f"--session-key-file={Path(__file__).parent / 'none'}"], "--session-key-file: "),
]


@pytest.mark.parametrize(("flags", "said"), CONTRADICTIONS)
def test_what_does_not_go_together_is_told(flags: Any, said: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        asked(*flags)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(said)


@pytest.mark.parametrize("url", ["https://p.test", "https://bp.test", "https://p.test.b"])
def test_beside_the_suffix_the_bastion_may_be(url: Any) -> None:
    assert asked("--proxy-host-suffix=p.test", f"--public-url={url}").public_url == url


def test_a_certificate_made_here_has_all_the_names() -> None:
    assert Browsers(host_suffix="p.test", public_url="https://b.test:8443").names() == (
        "b.test",
        "*.svc.p.test",
        "*.pod.p.test",
    )
    assert Browsers().names() == ()
