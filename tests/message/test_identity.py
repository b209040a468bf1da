"""Which names would a backend believe?"""

import pytest

from bastion.message.identity import DROPPED, DROPPED_PREFIXES, asserts_identity, withholding

BELIEVED = [
    b"x-remote-user",
    b"x-remote-extra-acme.com%2fproject",
    b"x-remote-",
    b"impersonate-user",
    b"impersonate-extra-scopes",
    b"x-forwarded-anything",
    b"x-auth-request-email",
    b"x-webauth-role",
    b"ssl-client-verify",
    b"x-ssl-cert",
    b"x_remote_user",
    b"remote_user",
    b"a_b",
    b"_",
]
NOT_BELIEVED = [
    b"x-remote",
    b"x-remoteuser",
    b"user",
    b"cookie",
    b"x-forwarded",
    b"impersonate",
    b"ssl",
    b"x-request-id",
    b"forwarded-by",
    b"proxying",
    b"",
]


@pytest.mark.parametrize("name", [*BELIEVED, *sorted(DROPPED)])
def test_a_name_that_backends_believe_is_known(name):
    assert asserts_identity(name)


@pytest.mark.parametrize("name", NOT_BELIEVED)
def test_other_names_pass(name):
    assert not asserts_identity(name)


def test_the_list_is_in_lower_case():
    assert all(name == name.lower() for name in (*DROPPED, *DROPPED_PREFIXES))


@pytest.mark.parametrize(
    ("names", "prefixes", "name", "withheld"),
    [
        ((), (), b"x-user", False),
        ((), (), b"x-remote-user", True),
        ((b"x-user",), (), b"x-user", True),
        ((b"x-user",), (), b"x-user-agent", False),
        ((b"x-user",), (), b"x-remote-user", True),
        ((b"x-user",), (), b"cookie", False),
        ((), (b"x-extra-",), b"x-extra-scopes", True),
        ((), (b"x-extra-",), b"x-extra", False),
        ((), (b"x-extra-",), b"remote-user", True),
        ((b"x-user",), (b"x-extra-",), b"x-extra-scopes", True),
        ((b"x-user",), (b"x-extra-",), b"x-user", True),
    ],
)
def test_what_a_front_proxy_of_ours_says_is_kept_from_backends_besides(names, prefixes, name, withheld):
    assert withholding(names, prefixes)(name) is withheld
