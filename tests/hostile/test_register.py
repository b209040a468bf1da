"""Which table holds a hostile input of each kind?

Faulty backends, slow peers, a faulty API server and TLS, by their ids.

Those that a single request can be are in tests/server (SM), tests/kube and tests/e2e, and as whole requests
in test_twins.py.
"""

from __future__ import annotations

import re

import pytest

from tests.e2e.harness import ROOT

TABLES = {
    "tests/hostile/test_answers.py": (
        "RS-002 RS-003 RS-004 RS-005 RS-006 RS-007 RS-008 RS-009 RS-012 RS-013 RS-014 RS-016 RS-020 RS-021"
        " RS-022 RS-023 RS-024 RS-025 RS-028 RS-029 RS-030 RS-031 RS-032 RS-034 RS-035 RS-036 RS-040 RS-041"
        " RS-042 RS-046 RS-047 RS-048 RS-051 RS-052 RS-055 RS-058 RS-059 RS-060 RS-061 RS-062 RS-064 RS-066"
        " RS-069 RS-070 RS-072 RS-074 SS-093 SS-094 CA-021"
    ),
    "tests/hostile/test_upgrades.py": (
        "UP-001 UP-004 UP-007 UP-026 UP-033 UP-034 UP-035 UP-036 UP-038 UP-040 UP-041"
    ),
    "tests/hostile/test_exhaustion.py": (
        "RE-019 RE-020 RE-021 RE-023 RE-024 RE-025 RE-027 RE-028 RE-029 RE-031 RE-032 RE-033 RE-034 RE-035"
        " RE-036 RE-037 RE-039 RE-040 RE-043 RE-044 RE-046"
    ),
    "tests/hostile/test_limits.py": "RE-006 RE-047 RE-049 RE-050",
    "tests/server/test_protocol.py": "RE-001 RE-004 RE-007",
    "tests/e2e/test_streams.py": "RE-052",
    "bench/tunnels/crowd.py": "RE-051",
    "tests/hostile/test_targets.py": (
        "SS-045 SS-046 SS-047 SS-048 SS-049 SS-050 SS-051 SS-055 SS-056 SS-057 SS-059 SS-061 SS-062 SS-063"
        " SS-067 SS-068 SS-069 SS-073 SS-074 SS-076 SS-078 SS-080 SS-081 SS-082 SS-084 SS-085 SS-086 SS-087"
        " SS-088 SS-090 SS-091 SS-092 SS-097"
    ),
    "tests/network/test_addresses.py": "SS-058 SS-064",
    "tests/e2e/test_kubelet.py": "SS-071",
    "tests/e2e/test_http.py": "SM-150",
    "tests/tunnel/test_access.py": "UP-046 UP-047 UP-048",
    "tests/proxy/test_recheck.py": "UP-045",
    "tests/discovery/test_catalog.py": "UP-049",
    "tests/tunnel/test_spdy.py": "UP-050",
    "tests/tunnel/test_faults.py": "UP-052 UP-053",
    "tests/tunnel/test_limits.py": "UP-054 UP-056",
    "tests/tunnel/test_stalled.py": "UP-055",
    "tests/e2e/test_certificates.py": "AU-085 AU-087 AU-091 AU-092",
    "tests/authn/test_authenticators.py": "AU-095 AU-096 AU-099 AU-100 AU-101 AU-106",
    "tests/authz/test_sar.py": "AU-103 AU-104 AU-105",
    "tests/authn/test_cached.py": "CA-001 CA-002 CA-006 CA-008 CA-010 CA-014",
    "tests/authn/test_token_end.py": "CA-007 CA-015 CA-016",
    "tests/authz/test_cached.py": "CA-003 CA-004 CA-005 CA-011",
    "tests/test_cache.py": "CA-020",
    "tests/e2e/test_api_down.py": "CA-017",
    "tests/discovery/test_faults.py": "CA-018 CA-019",
}


@pytest.mark.parametrize("table", TABLES)
def test_each_of_them_is_in_its_table(table: str) -> None:
    cited = {
        f"{kind}-{number}".upper()
        for kind, number in re.findall(
            r"(?i)(?<![a-z])([a-z]{2})[-_]([0-9]{3})(?![0-9])", (ROOT / table).read_text()
        )
    }
    assert set(TABLES[table].split()) <= cited
