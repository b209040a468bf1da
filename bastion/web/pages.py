"""The pages for signing in and out.  Links are relative: they are at `/login` and at `/.bastion/login`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from bastion.web.rendering import page

Provider = tuple[str, str]  # its name, and where its button leads


@dataclass(frozen=True, slots=True)
class Ways:
    """To sign in: at these, and with a token."""

    providers: Sequence[Provider] = ()
    token: bool = True


def sign_in_form(
    ways: Ways,
    code: int = 200,
    alert: str = "",
    *,
    place: str = "",
    back: str = "",
    kind: str = "down",
) -> Response:
    """`place`: what is signed in to; `back`: where it leads; `kind`: how serious `alert` is."""
    where = f"to services of {place}. " if place else ""
    return _card(
        "Sign in",
        code,
        text=f"{where}The cluster decides what you may open.",
        alert=alert,
        alert_kind=kind,
        back=back,
        providers=ways.providers,
        token=ways.token,
    )


def signed_in(user: str, groups: Sequence[str]) -> Response:
    member = f", a member of {', '.join(groups)}" if groups else ""
    return _card(
        "You are signed in",
        text=f"You are signed in as {user}{member}.",
        link="./",
        label="What you may open",
        sign_out="logout",
    )


def sign_out_form(path: str) -> Response:
    return _card("Sign out", text="of this host, in this browser.", sign_out=path)


def groups_left_out(title: str, told: int, path: str) -> Response:
    """`told`: of how many groups the provider `title` told; `path` is where to go on."""
    return _card(
        "You are signed in",
        alert=(
            f"Your account has more groups than {title} tells: it told of {told}. What the others would open"
            " is not open to you here; ask those who run it to send only the groups of this application."
        ),
        alert_kind="deg",
        link=path,
        label="Go on",
    )


def signing_out(title: str, there: str) -> Response:
    """`there` is where the provider `title` signs out."""
    return _card(
        "You are signed out", text=f"here, and next at {title}.", link=there, label="Go on", onward=there
    )


def signed_out(*, still: bool = False) -> Response:
    """`still`: where the person signed in, they still are."""
    there = " Where you signed in you still are, and may come back without a password: sign out there, too."
    return _card(
        "You are signed out",
        text=(
            "in this browser. Applications that you have open notice within the hour; to end access"
            f" everywhere at once, revoke the token.{there if still else ''}"
        ),
        link="login",
        label="Sign in again",
    )


def signed_out_here(main: str) -> Response:
    """For an application's host; `main` is where to sign out of all hosts."""
    return _card(
        "You are signed out",
        text="of this application. You may still be signed in at the bastion.",
        link=main,
        label="Go there",
    )


def application_host(user: str, main: str) -> Response:
    """What an application's host has of ours; `user` empty: nobody is signed in here."""
    return _card(
        "This host is an application's",
        text=f"You are signed in as {user} here." if user else "You are not signed in here.",
        link=main,
        label="What you may open",
        sign_out="/.bastion/logout" if user else "",
    )


def problem(title: str, text: str, code: int, link: str = "", label: str = "") -> Response:
    """`link`, if any, is a button with the text `label`."""
    return _card(title, code, alert=text, alert_kind="down", link=link, label=label)


def _card(title: str, code: int = 200, **values: Any) -> Response:
    absent = dict.fromkeys(("text", "alert", "alert_kind", "back", "sign_out", "link", "label", "onward"), "")
    return page(
        None,
        "sign-in.html",
        code,
        elsewhere=True,
        title=title,
        **{**absent, "providers": (), "token": False, **values},
    )
