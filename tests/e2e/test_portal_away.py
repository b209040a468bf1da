"""The portal in Chromium while the API server is away: it says so, names nothing, and comes back."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.demo.conftest import running_browser
from tests.e2e.harness import ALICE, Cluster, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.test_api_server_away import REMEMBER


def test_the_portal_comes_back_with_the_api_server(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "bastion").mkdir()
    source = ("--kubeconfig", tmp_path / "kubeconfig")
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *REMEMBER, source=source) as bastion,
        running_browser() as browser,
    ):
        page = browser.new_page()
        page.goto(f"{bastion.url}/")
        page.get_by_label("Token").fill(ALICE)
        page.get_by_role("button", name="Sign in").click()
        row = page.locator('[data-ref="default/services/pair"]')
        expect(row).to_be_visible()
        api.do(api.doors[0].shut())
        away = page.get_by_role("heading", name="The API server does not answer")
        for _ in range(30):
            answer = page.reload()
            if away.is_visible():
                break
            page.wait_for_timeout(500)
        assert answer is not None
        assert (answer.status, answer.headers["x-bastion-error"]) == (503, "ApiServerAway")
        assert "Since" in page.inner_text("main")
        for name in ("pair", "two-ports", "alice"):
            assert name not in page.content()
        api.do(api.doors[0].open())
        expect(row).to_be_visible(timeout=20_000)
