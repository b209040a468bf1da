"""Which tests hold what SECURITY.md promises?

A row: the promise's number, words that stand in it, and a test that fails where these are not kept.  A
promise that nothing holds fails here, and so does a row whose words or whose test are gone.
"""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

HELD = [
    (
        1,
        "If the API server cannot be asked, or answers oddly, it is 503",
        "proxy/test_gateway.py::test_what_cannot_be_found_out_is_no_yes",
    ),
    (
        1,
        "cannot be asked",
        "e2e/test_api_down.py::test_a_bastion_that_may_not_ask_allows_nobody_and_says_what_it_lacks",
    ),
    (
        1,
        "Order: parse, authenticate, authorize, and only then look",
        "proxy/test_gateway.py::test_the_order_of_decisions",
    ),
    (
        1,
        "who may not, learns nothing of what exists",
        "e2e/test_refusals.py::test_who_may_not_is_told_just_that",
    ),
    (
        1,
        "What was decided is what is reached",
        "hostile/test_targets.py::test_what_was_right_a_moment_ago_is_not_dialled_any_more",
    ),
    (
        1,
        "before each dial after the first",
        "proxy/test_forward.py::test_after_a_dial_that_failed_only_what_is_there_now_is_dialled",
    ),
    (
        *(1, "once a dial has succeeded before a byte of the request is sent"),
        "proxy/test_forward.py::test_an_address_that_became_anothers_while_it_was_dialled_is_sent_nothing",
    ),
    (
        2,
        "refused (400, and the connection closes)",
        "hostile/test_twins.py::test_a_head_with_a_defect_reaches_nobody_and_its_repair_the_backend",
    ),
    (
        2,
        "What two parsers might read differently",
        "hostile/test_twins.py::test_a_body_with_a_defect_is_never_a_whole_request_and_its_repair_is",
    ),
    (2, "as the bytes that came", "proxy/test_gateway.py::test_what_is_behind_the_prefix_is_sent_as_it_came"),
    (
        3,
        "No token, cookie or key",
        "hostile/test_secrets.py::test_no_good_credential_is_written_down_or_handed_on",
    ),
    (
        3,
        "no query reaches a log, whatever a request was refused for",
        "hostile/test_secrets.py::test_what_is_refused_leaves_no_secret_behind",
    ),
    (3, "a metric", "observe/test_requests.py::test_neither_paths_nor_users_nor_addresses_are_labels"),
    (
        3,
        "A client's own `Authorization`",
        "proxy/test_gateway.py::test_a_credential_for_the_bastion_leaves_the_other_to_the_backend",
    ),
    (
        3,
        "the cookie of an application's own host",
        "e2e/test_sign_in.py::test_on_its_own_host_an_applications_scripts_have_authorization_to_themselves",
    ),
    (
        3,
        "The kubelet certificate is shown to kubelets alone",
        "network/test_dial.py::test_the_kubelet_certificate_is_shown_to_kubelets_alone",
    ),
    (
        4,
        "shared only after clean exchanges",
        "e2e/test_connections.py::test_a_connection_is_kept_after_a_clean_exchange_only",
    ),
    (
        4,
        "never between a kubelet and anybody else",
        "network/test_dial.py::test_a_kubelets_connection_never_serves_a_pod",
    ),
    (
        4,
        "a login that holds for the connection",
        "hostile/test_delivery.py::test_no_answer_for_somebody_else_on_a_connection_that_logged_in",
    ),
    (
        *(4, "not once their address was left by its pod or node"),
        "proxy/test_forward.py::test_what_is_open_to_an_address_serves_nobody_after_its_pod_has_left",
    ),
    (
        4,
        "One that carried a body",
        "network/test_transport.py::test_a_connection_that_carried_somebodys_body_serves_nobody_else",
    ),
    (
        4,
        "may have left that body unread",
        "hostile/test_delivery.py::test_no_answer_for_somebody_else_after_a_body_that_nobody_read",
    ),
    (
        4,
        "an answer that began early",
        "hostile/test_delivery.py::test_no_answer_for_somebody_else_after_an_answer_that_came_early",
    ),
    (
        4,
        "No answer for somebody else",
        "e2e/test_cross_user.py::test_nobody_gets_what_is_somebody_elses_and_nothing_is_left_behind",
    ),
    (
        5,
        "Nothing before a 101",
        "hostile/test_upgrades.py::test_what_comes_behind_a_refused_upgrade_is_read_by_nobody",
    ),
    (
        5,
        "only after it agreed to that very upgrade",
        "hostile/test_upgrades.py::test_a_switch_that_is_none_is_an_error",
    ),
    (
        6,
        "without the last chunk or the missing bytes",
        "e2e/test_streams.py::test_an_answer_that_breaks_off_is_visibly_broken",
    ),
    (6, "an HTTP/1.0 client", "e2e/test_streams.py::test_an_http_1_0_client_can_tell_too"),
    (6, "there a FIN is an end", "e2e/test_streams.py::test_an_answer_that_a_fin_ends_is_whole"),
    (
        7,
        "A connection",
        "hostile/test_limits.py::test_an_address_has_so_many_connections_and_others_have_theirs",
    ),
    (
        7,
        "a head",
        "hostile/test_exhaustion.py::test_a_head_without_end_is_a_503_and_as_much_as_may_be_is_passed_on",
    ),
    (7, "a body", "hostile/test_limits.py::test_re_006_a_body_may_be_slow_for_a_while_and_not_for_ever"),
    (7, "an answer", "hostile/test_exhaustion.py::test_re_024_a_backend_that_never_answers_is_a_504"),
    (7, "a stream", "proxy/test_streams.py::test_nothing_lasts_longer_than_the_longest_duration"),
    (
        7,
        "a page to be rewritten",
        "hostile/test_exhaustion.py::test_a_page_that_unfolds_beyond_reason_is_cut_off",
    ),
    (7, "where somebody is waited for, in time", "e2e/test_deadlines.py::test_every_wait_has_an_end"),
    (7, "one turn of the event loop", "hostile/test_turns.py::test_what_is_read_of_a_request"),
    (7, "one turn of the event loop", "hostile/test_turns.py::test_what_is_read_of_an_answer"),
    (7, "whatever a page unfolds to", "hostile/test_turns.py::test_compressed_bodies"),
    (7, "a tenant wrote", "hostile/test_turns.py::test_requests_to_a_service_of_very_many_slices"),
    (7, "users take turns", "proxy/test_turns.py::test_each_user_has_a_step_in_a_turn"),
    (
        8,
        "10 s after a right was taken away",
        "e2e/test_api_server_away.py::test_a_deleted_binding_ends_access_with_one_more_question",
    ),
    (
        8,
        "20 s after a token was",
        "e2e/test_api_server_away.py::test_a_deleted_token_ends_access_with_one_more_question",
    ),
    (
        8,
        "whatever lasts longer than a minute",
        "proxy/test_streams.py::test_what_is_long_is_asked_about_once_and_told_how_long_ago_it_was_allowed",
    ),
    (
        8,
        "Access that is taken away ends",
        "proxy/test_streams.py::test_the_client_is_told_by_a_status_or_by_an_answer_that_breaks_off",
    ),
    (
        9,
        "Questions to the API server",
        "hostile/test_fairness.py::test_nobody_waits_behind_another_users_questions",
    ),
    (
        9,
        "places at a target",
        "hostile/test_fairness.py::test_a_user_who_takes_all_places_leaves_others_their_share",
    ),
    (9, "connections", "network/test_connections.py::test_what_rests_makes_room_for_what_is_needed"),
    (9, "connections", "server/test_door.py::test_with_few_descriptors_nobody_fills_it_alone"),
    (
        9,
        "failed authentications",
        "hostile/test_limits.py::test_re_049_guessing_is_limited_per_address_and_whoever_is_known_is_not",
    ),
    (9, "of IPv6 a /64", "proxy/test_guard.py::test_an_ipv6_client_is_its_64"),
    (
        9,
        "What one user makes fail is taken from that user alone",
        "hostile/test_fairness.py::test_what_breaks_down_for_one_user_is_there_for_another",
    ),
    (
        9,
        "never refused for want of a well endpoint",
        "balance/test_balancer.py::test_the_ill_get_nothing_unless_all_are",
    ),
    (
        10,
        "With `--sandbox-pages` no script of an application runs in it",
        "demo/test_cross_site.py::test_a_page_from_elsewhere_cannot_act_with_the_session",
    ),
    (
        10,
        "no script",
        "demo/test_attacked.py::"
        "test_a_page_that_everybody_may_see_is_not_the_bastions_in_a_frame_of_another_site",
    ),
    (
        10,
        "no answer there speaks for all of it",
        "hostile/test_answers.py::test_fields_that_speak_for_more_than_the_answer",
    ),
    (
        10,
        "A code that signs somebody in",
        "web/test_handoff.py::test_a_code_is_not_taken_from_another_browser",
    ),
    (
        10,
        "one that sees it on its way",
        "demo/test_attacked.py::test_an_applications_worker_gets_nobody_signed_in_elsewhere",
    ),
    (
        11,
        "in the metrics, each failure also on stderr",
        "observe/test_signins.py::test_it_is_counted_and_a_failure_has_a_line",
    ),
    (11, "each attempt", "observe/test_signins.py::test_every_outcome_is_there_before_it_happens"),
    (11, "never a token", "e2e/test_sign_in.py::test_no_token_cookie_or_code_is_in_any_log"),
    (
        12,
        "A page of another site gets nothing from it and starts nothing",
        "localproxy/test_web.py::test_a_page_of_another_site_gets_nothing_and_starts_nothing",
    ),
    (
        12,
        "by any name it may have this machine answer to",
        "localproxy/test_web.py::test_a_name_that_was_turned_to_this_machine_gets_nothing",
    ),
    (
        12,
        "what a path hides from the filter is refused",
        "localproxy/test_filter.py::test_paths_in_every_spelling",
    ),
    (12, "from inside their folder", "localproxy/test_parts.py::test_nothing_leads_out_of_the_folder"),
    (12, "`--only-user`", "localproxy/test_observed.py::test_another_users_connection"),
    (12, "`--auth-token`", "localproxy/test_places.py::test_the_token_is_asked_for_and_stays_here"),
]


def promises() -> dict[int, str]:
    """By number, each as one line."""
    section = (ROOT / "SECURITY.md").read_text().partition("\n## What is promised\n")[2].partition("\n## ")[0]
    items = re.split(r"^(\d+)\. ", section.rpartition("\n\n")[0], flags=re.MULTILINE)[1:]
    return {
        int(number): " ".join(text.replace("**", "").split())
        for number, text in zip(items[::2], items[1::2], strict=True)
    }


PROMISES = promises()


@pytest.mark.parametrize("number", PROMISES)
def test_each_is_held_by_something(number: int) -> None:
    assert [row for row in HELD if row[0] == number]


def test_they_are_numbered_one_after_the_other() -> None:
    assert list(PROMISES) == list(range(1, len(PROMISES) + 1))
    assert {number for number, _, _ in HELD} <= set(PROMISES)


@pytest.mark.parametrize(
    ("number", "words", "test"), HELD, ids=[f"{number}-{test}" for number, _, test in HELD]
)
def test_each_row_is_true(request: pytest.FixtureRequest, number: int, words: str, test: str) -> None:
    assert words in PROMISES[number]
    file, _, name = test.partition("::")
    assert name in collected(request.session, file)


@cache
def collected(session: pytest.Session, file: str) -> frozenset[str]:
    """The names of the tests that pytest finds in a file, whether or not they are run now; none that is
    always skipped.
    """
    module = pytest.Module.from_parent(session, path=ROOT / "tests" / file)
    return frozenset(
        item.originalname
        for item in module.collect()
        if isinstance(item, pytest.Function) and not any(item.iter_markers("skip"))
    )
