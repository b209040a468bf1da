"""Is everything told that is counted, once a second for all who ask?"""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bastion.observe.apicalls import ApiCalls
from bastion.observe.families import text
from bastion.observe.metrics import Metrics, Renderer
from bastion.observe.process import Process
from bastion.observe.requests import Requests
from tests.fakes import ClockLoop, pass_time, run


def test_it_is_rendered_once_a_second_for_all_who_ask() -> None:
    rendered = []

    async def render() -> Any:
        rendered.append(asyncio.get_running_loop().time())
        return b"%d" % len(rendered)

    async def main() -> None:
        text = Renderer(render)
        assert [await text(), len(rendered)] == [b"1", 1]
        waiting = [asyncio.ensure_future(text()) for _ in range(100)]
        await pass_time(0.5)
        assert not any(one.done() for one in waiting)
        waiting[0].cancel()  # whoever leaves takes nothing from the others
        await pass_time(0.6)
        assert {one.result() for one in waiting[1:]} == {b"2"}
        await pass_time(60)
        assert await text() == b"3"
        assert all(later - before >= 1 for before, later in pairwise(rendered))

    run(main(), ClockLoop)


def test_the_process_is_told_of_too() -> None:
    told = text(Metrics(Requests().families, Process().families).families()).decode()
    assert re.search(r"^process_open_fds [1-9]", told, re.MULTILINE)
    assert re.search(r"^process_cpu_seconds_total [0-9]", told, re.MULTILINE)
    assert re.search(r'^python_gc_collections_total\{generation="0"\}', told, re.MULTILINE)
    assert re.search(
        r'^bastion_build_info\{implementation="\w+",python_version="3[^"]*",version="[^"]+"\} 1.0$',
        told,
        re.MULTILINE,
    )


def test_calls_to_the_api_server_are_told_by_verb_resource_and_code() -> None:
    calls = ApiCalls()
    for code in (201, 201, 0):
        calls.observe("create", "tokenreviews", code, 0.5)
    told = text(calls.families()).decode()
    assert 'bastion_api_requests_total{code="201",resource="tokenreviews",verb="create"} 2.0' in told
    assert 'bastion_api_requests_total{code="0",resource="tokenreviews",verb="create"} 1.0' in told
    assert 'bastion_api_request_duration_seconds_sum{resource="tokenreviews",verb="create"} 1.5' in told


def test_each_is_explained_in_a_sentence_and_counters_are_named_as_such() -> None:
    families = Metrics(Requests(5).families, ApiCalls().families, Process().families).families()
    for family in text_string_to_metric_families(text(families).decode()):
        assert family.name.startswith(("process_", "python_")) or family.documentation.endswith("."), (
            family.name
        )
    for family in families:  # type: ignore[assignment]
        assert (family.kind == "counter") == family.name.endswith("_total")  # type: ignore[attr-defined]
