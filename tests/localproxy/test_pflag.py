"""kubectl's command line, word for word."""

from __future__ import annotations

import pytest

from bastion.localproxy import options
from bastion.localproxy.pflag import FlagError, HelpRequested, duration

GOOD = [
    (["--port=8080"], "port", 8080),
    (["--port", "8080"], "port", 8080),
    (["-p8080"], "port", 8080),
    (["-p=8080"], "port", 8080),
    (["-p", "8080"], "port", 8080),
    (["--port=0x1f"], "port", 31),
    (["--port=1", "plain", "--port=2"], "port", 2),
    (["--disable-filter"], "disable_filter", True),
    (["--disable-filter", "false"], "disable_filter", True),
    (["--disable-filter=f"], "disable_filter", False),
    (["-w", "here"], "www", "here"),
    (["--www="], "www", ""),
    (["--keepalive=1h2m3.5s"], "keepalive", 3723.5),
    (["--keepalive=-1s"], "keepalive", -1.0),
    (["-v=6"], "verbosity", 6),
    (["--", "sh", "-c", "true"], "command", ("sh", "-c", "true")),
    (["--contexts=a,b"], "contexts", ("a", "b")),
    (["--request-timeout=30"], "port", 8001),
    (["--cache-dir=x", "--vmodule=y"], "port", 8001),
    (["--disable_filter", "--api_prefix=/x"], "api_prefix", "/x"),
    (["--port=1_000"], "port", 1000),
    (["--port=0_17"], "port", 15),
    (["--v=07"], "verbosity", 7),
]
BAD = [
    (["--bogus"], "unknown flag: --bogus"),
    (["--reject-meth=GET"], "unknown flag: --reject-meth"),
    (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
    (["--port"], "flag needs an argument: --port"),
    (["-p"], "flag needs an argument: 'p' in -p"),
    (["--=x"], "bad flag syntax: --=x"),
    (
        ["-port=1"],
        'invalid argument "ort=1" for "-p, --port" flag: strconv.ParseInt: parsing "ort=1": invalid syntax',
    ),
    (["--port="], 'invalid argument "" for "-p, --port" flag: strconv.ParseInt: parsing "": invalid syntax'),
    (
        ["--tls=maybe"],
        'invalid argument "maybe" for "--tls" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ),
    (
        ["--keepalive=30"],
        'invalid argument "30" for "--keepalive" flag: time: missing unit in duration "30"',
    ),
    (["--keepalive=soon"], 'invalid argument "soon" for "--keepalive" flag: time: invalid duration "soon"'),
    (
        ["--keepalive=1h 2m"],
        'invalid argument "1h 2m" for "--keepalive" flag: time: unknown unit "h " in duration "1h 2m"',
    ),
    (
        ["--keepalive=1.5.5s"],
        'invalid argument "1.5.5s" for "--keepalive" flag: time: missing unit in duration "1.5.5s"',
    ),
    (
        ["--keepalive=300y"],
        'invalid argument "300y" for "--keepalive" flag: time: unknown unit "y" in duration "300y"',
    ),
    (
        ["--keepalive=2562048h"],
        'invalid argument "2562048h" for "--keepalive" flag: time: invalid duration "2562048h"',
    ),
    (["--log-flush-frequency=x"], 'invalid argument "x" for "--log-flush-frequency" flag: parse error'),
    (
        ["-v=0x3"],
        'invalid argument "0x3" for "-v, --v" flag: strconv.ParseInt: parsing "0x3": invalid syntax',
    ),
    (
        ["--v=2147483648"],
        'invalid argument "2147483648" for "-v, --v" flag:'
        ' strconv.ParseInt: parsing "2147483648": value out of range',
    ),
    (["--api_prefix"], "flag needs an argument: --api_prefix"),
    (["--no_such=x"], "unknown flag: --no_such"),
    (
        ['--port=a"\n'],
        r'invalid argument "a\"\n" for "-p, --port" flag:'
        r' strconv.ParseInt: parsing "a\"\n": invalid syntax',
    ),
]


@pytest.mark.parametrize(("argv", "name", "value"), GOOD, ids=str)
def test_good_flags(argv: list[str], name: str, value: object) -> None:
    assert getattr(options.read(argv), name) == value


@pytest.mark.parametrize(("argv", "message"), BAD, ids=str)
def test_bad_flags_in_kubectls_words(argv: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        options.read(argv)
    assert str(caught.value) == message


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--port=1", "-h"]], ids=str)
def test_help(argv: list[str]) -> None:
    with pytest.raises(HelpRequested):
        options.read(argv)


def test_lists_grow_and_belong_to_the_connection() -> None:
    asked = options.read(["--as=a", "--as-group=g", "--as-group=h"]).connection
    assert (asked.as_user, asked.as_groups) == ("a", ("g", "h"))


def test_socket_and_port_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="cannot set --unix-socket and --port at the same time"):
        options.read(["--unix-socket=s", "--port=1"])
    assert options.read(["--unix-socket=s", "--port=8001"]).unix_socket == "s"


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1.5s", 1.5), ("-2m", -120), ("1h1ms", 3600.001), (".5s", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)
