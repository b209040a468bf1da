"""What may be asked of a kubelet: by the first segment, and only in one spelling."""

from __future__ import annotations

import pytest

from bastion.proxy.kubelet import check_kubelet_request
from tests.fakes import refused

PASSED = [
    b"",
    b"?x=y",
    b"/",
    b"/metrics",
    b"/metrics/cadvisor?x=y",
    b"/healthz",
    b"/pods/",
    b"/stats/summary?only_cpu_and_memory=true",
    b"/configz",
    b"/logs/",
    b"/logs/syslog",
    b"/logs",
    b"/containerLogs/ns/pod/c",
    b"/containerLogs/ns/pod/c?tailLines=5&follow=true",
    b"/metrics/exec",  # the word alone is no harm
    b"/executor",
    b"/running/",
    b"/a?path=/../exec/%2e",  # a query is a query
]

COMMANDS = [
    b"/exec",
    b"/exec/",
    b"/exec/ns/pod/c?command=id",
    b"/exec/ns/pod/uid/c",
    b"/EXEC/ns/pod/c",
    b"/run/ns/pod/c",
    b"/attach/ns/pod/c",
    b"/portForward/ns/pod",
    b"/portforward/ns/pod",
    b"/checkpoint/ns/pod/c",
    b"/debug/pprof/heap",
    b"/debug/flags/v",
    b"/cri/exec/token",
]

LOG_QUERIES = [b"/logs/?query=kubelet", b"/logs?query=kubelet", b"/logs/?x", b"/LOGS/?query=x"]

SPELLINGS = [
    b"/./exec/ns/pod/c",
    b"/metrics/../exec/ns/pod/c",
    b"/..",
    b"/.",
    b"//exec/ns/pod/c",
    b"//",
    b"/metrics//cadvisor",
    b"/exec//",
    b"/%65xec/ns/pod/c",
    b"/metrics/%2e%2e/exec",
    b"/metrics%00",
    b"/metrics%",
    b"/metrics\\..\\exec",
]


@pytest.mark.parametrize("rest", PASSED)
def test_passed(rest: bytes) -> None:
    check_kubelet_request(rest, "node-a")


@pytest.mark.parametrize("rest", COMMANDS)
def test_commands_are_refused(rest: bytes) -> None:
    with refused(403, "does not pass /" + rest.split(b"/")[1].decode().lower()):
        check_kubelet_request(rest, "node-a")


@pytest.mark.parametrize("rest", LOG_QUERIES)
def test_log_queries_are_refused(rest: bytes) -> None:
    with refused(403, "/logs with a query"):
        check_kubelet_request(rest, "node-a")


@pytest.mark.parametrize("rest", SPELLINGS)
def test_a_path_has_one_spelling(rest: bytes) -> None:
    with refused(400, "dots, empty segments or percent-encoding"):
        check_kubelet_request(rest, "node-a")
