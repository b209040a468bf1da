"""Is what happened written down, and does everybody who wants to know hear of it?"""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from bastion.observe.auditids import AuditIds, is_ours, new_audit_id
from bastion.observe.observer import Observer
from bastion.observe.record import Record


def record() -> Any:
    return Record("GET", b"/x", "192.0.2.1", "id")


def test_a_record_is_empty_at_first() -> None:
    one = record()
    assert (one.info, one.user, one.acting_as, one.endpoint, one.code, one.error, one.outcome) == (
        None,
        None,
        None,
        "",
        0,
        "",
        "",
    )
    assert (one.bytes_in, one.bytes_out, one.stages, one.seconds) == (0, 0, {}, 0.0)


def test_each_stage_is_measured_in_order() -> None:
    one = record()
    for name in ("authentication", "authorization", "upstream"):
        with one.stage(name):
            pass
    assert list(one.stages) == ["authentication", "authorization", "upstream"]
    assert all(seconds >= 0 for seconds in one.stages.values())


def test_a_stage_that_fails_is_measured_and_its_error_passes() -> None:
    one = record()
    with pytest.raises(ValueError), one.stage("authorization"):
        raise ValueError
    assert list(one.stages) == ["authorization"]


def test_the_whole_is_no_shorter_than_its_stages() -> None:
    one = record()
    with one.stage("upstream"):
        sum(range(10000))
    one.measure(200, 0, 0)
    assert one.seconds >= one.stages["upstream"] > 0


def test_nothing_can_be_written_that_is_no_part_of_a_record() -> None:
    with pytest.raises(AttributeError):
        record().tokne = "t"


def test_records_share_nothing() -> None:
    one, other = record(), record()
    with one.stage("upstream"):
        pass
    assert other.stages == {}


class Sink:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, record: Any) -> None:
        self.seen.append((record, record.code, record.bytes_in, record.bytes_out, record.seconds > 0))


def test_every_sink_hears_of_the_end_once_and_all_of_it() -> None:
    sinks, one = (Sink(), Sink()), record()
    Observer(sinks).observe(one, 200, 3, 4)  # type: ignore[arg-type]
    for sink in sinks:
        assert sink.seen == [(one, 200, 3, 4, True)]


def test_the_bytes_of_a_tunnel_are_counted_with_those_of_the_bodies() -> None:
    sink, one = Sink(), record()
    one.stream_in, one.stream_out = 10, 20
    Observer([sink]).observe(one, 101, 1, 2)  # type: ignore[list-item]
    assert sink.seen[0][1:4] == (101, 11, 22)


def test_an_audit_id_is_a_uuid_of_version_8_and_new_each_time() -> None:
    next_one = AuditIds()
    for make in (new_audit_id, next_one):
        ids = [make() for _ in range(1000)]
        assert len(set(ids)) == 1000
        for id in ids:
            assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", id)
            assert uuid.UUID(id).version == 8
            assert is_ours(id)
            assert is_ours(id.upper())


RANDOM, TIMED = str(uuid.uuid4()), str(uuid.uuid1())
STRANGE = [
    "",
    "x",
    "foo-bar-baz",
    pytest.param(RANDOM, id="uuid4"),
    pytest.param(TIMED, id="uuid1"),
    "x" * 36,
    "8" * 36,
    "8" * 64,
]


@pytest.mark.parametrize("id", STRANGE)
def test_other_ids_are_no_ids_of_ours(id: Any) -> None:
    assert not is_ours(id)
