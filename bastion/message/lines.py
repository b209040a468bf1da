"""· What becomes of a line of a head: does it pass, and as which bytes, or must a rule read it?

Most lines of most heads came before, word for word.  What becomes of one is a function of its bytes and of
how the program was started, so each is judged once, by the rules that judge whole heads.  A line that no rule
reads is passed on, or dropped, without being looked at again.  The others decide: they are all that the rules
are handed, so that a rule which reads a name that is missing from `DECIDING` finds no such field, rather than
one of another request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable

import msgspec

from bastion.http.fields import HOP_BY_HOP, Field
from bastion.message.answers import ORIGIN_WIDE
from bastion.message.headers import Forwarded, to_backend, to_client
from bastion.message.identity import asserts_identity
from bastion.message.rewrite import PLACED
from bastion.runtime.remembered import FairTable

MOST, LONGEST = 4096, 512  # lines, and bytes of one that is kept
MANY, ONE_OF = 256, 16  # lines of one owner, beyond which one of so many new ones is kept
MOST_NAMES, LONGEST_NAME = 1024, 64

# What some rule reads in a request.
DECIDING = HOP_BY_HOP | frozenset(
    (
        # how it is framed, where it goes, what it is called
        b"host",
        b"content-length",
        b"expect",
        # who asks
        b"authorization",
        b"cookie",
        b"sec-websocket-protocol",
        b"sec-websocket-key",
        b"content-type",  # whether a form could have sent it
        # where it comes from
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        # how it is answered, and by whom it is said to be sent
        b"accept",
        b"accept-encoding",
        b"user-agent",
    )
)
DECIDING_PREFIXES = (b"x-bastion-", b"impersonate-")
# What is read in each request and decides nothing: it passes, and is another one in every request.
NOTED = frozenset((b"audit-id",))
# What some rule reads in a response.
DECIDING_RESPONSE = (
    HOP_BY_HOP
    | PLACED
    | ORIGIN_WIDE
    | frozenset(
        (
            b"content-length",
            b"content-type",
            b"cache-control",
            b"x-content-type-options",
            b"date",
            b"www-authenticate",
        )
    )
)

# A line whose name has one of these words may carry a secret, and so may a URL.
_SECRET_WORDS = (
    b"auth",
    b"cookie",
    b"token",
    b"secret",
    b"passw",
    b"session",
    b"key",
    b"credential",
    b"signature",
    b"assertion",
    b"jwt",
    b"cert",
    b"csrf",
    b"xsrf",
    b"otp",
)
_SECRET = PLACED | frozenset((b"referer", b"sec-websocket-protocol"))
_SECRET_PREFIXES = (b"x-bastion-", b"impersonate-")

_NOWHERE = Forwarded(b"", b"", b"", b"", b"")
_UNKNOWN = b"\0"  # no verdict of a line

Read = Callable[[bytes], Field]


class Rule(msgspec.Struct, frozen=True, gc=False):
    """What becomes of fields of one name.  `decides`: a rule reads it; `kept`: its lines are remembered;
    `noted`: it is read beside.
    """

    decides: bool
    passes: bool
    kept: bool
    noted: bool = False


def may_carry_a_secret(lower: bytes) -> bool:
    return (
        lower in _SECRET or lower.startswith(_SECRET_PREFIXES) or any(word in lower for word in _SECRET_WORDS)
    )


class LineTable:
    """Of one direction.

    `read` makes a field of a line, or raises.  `decides` and `passes` say what becomes of a lower-case name;
    those of `noted` pass and are read beside.
    """

    def __init__(
        self,
        read: Read,
        decides: Callable[[bytes], bool],
        passes: Callable[[bytes], bool],
        noted: Collection[bytes] = (),
    ) -> None:
        self._read = read
        self._decides = decides
        self._passes = passes
        self._noted = noted
        # what is passed on of a line, None where it decides
        self._lines: FairTable[bytes, bytes | None] = FairTable(MOST)
        self._new = 0
        self._rules: FairTable[bytes, Rule] = FairTable(MOST_NAMES)  # by name as it is written

    def sort(
        self,
        lines: Iterable[bytes],
        owner: Hashable,
        noted: list[Field] | None = None,
        new: list[bytes] | None = None,
    ) -> tuple[list[bytes], list[bytes]]:
        """(what is passed on, with line ends; the lines that decide): each in the order in which they came.

        `owner`: in whose share new lines are kept.  `noted` is filled with the fields that are read beside,
        `new` with the lines that pass and are not kept yet.
        Raises what `read` raises, but for a line that decides: that is for what reads it to say.
        """
        known = self._lines.get
        passed: list[bytes] = []
        deciding: list[bytes] = []
        for line in lines:
            verdict = known(line, _UNKNOWN)
            if verdict is _UNKNOWN:
                verdict = self._look_at(line, owner, noted)
                if verdict and new is not None:
                    new.append(line)
            if verdict is None:
                deciding.append(line)
            elif verdict:
                passed.append(verdict)
        return passed, deciding

    def passing(self, line: bytes) -> bytes:
        """What is passed on of a line that is not kept; empty where its name is not known as one that does.

        Raises what `read` raises.
        """
        rule = self._rules.get(line.partition(b":")[0])
        if rule is None or rule.noted or not rule.passes:
            return b""
        _, name, value = self._read(line)
        return b"%b: %b\r\n" % (name, value)

    def may_be_kept(self, lines: Iterable[bytes]) -> bool:
        """Whether none of these, which were sorted, may carry a secret."""
        rules = (self._rules.get(line.partition(b":")[0]) for line in lines)
        return all(rule is not None and rule.kept for rule in rules)

    def __len__(self) -> int:
        return len(self._lines)

    def _look_at(self, line: bytes, owner: Hashable, noted: list[Field] | None) -> bytes | None:
        """What this costs is what a header costs that is another one in every request."""
        rule = self._rules.get(line.partition(b":")[0])
        if rule is not None and rule.decides and not rule.kept:
            return None  # a secret, in nearly every request
        lower, name, value = field = self._read(line)
        rule = rule or self._rule(lower, name, owner)
        if rule.noted and noted is not None:
            noted.append(field)
        verdict = None if rule.decides else b"%b: %b\r\n" % (name, value) if rule.passes else b""
        if rule.kept and len(line) <= LONGEST and self._is_kept(owner):
            self._lines.put(line, verdict, owner)
        return verdict

    def _is_kept(self, owner: Hashable) -> bool:
        """Who has many has sent another one in each request, and to keep one costs more than to read it; what
        does come again is kept soon enough.
        """
        if self._lines.owned(owner) < MANY:
            return True
        self._new = (self._new + 1) % ONE_OF
        return self._new == 0

    def _rule(self, lower: bytes, name: bytes, owner: Hashable) -> Rule:
        decides = self._decides(lower)
        noted = lower in self._noted
        passes = not decides and self._passes(lower)
        rule = Rule(decides, passes, not noted and not may_carry_a_secret(lower), noted)
        if len(name) <= LONGEST_NAME:
            self._rules.put(name, rule, owner)
        return rule


def request_lines(
    read: Read,
    withheld: Callable[[bytes], bool] = asserts_identity,
    names: Collection[bytes] = (),
    prefixes: Iterable[bytes] = (),
) -> LineTable:
    """`names` and `prefixes`: which headers name a user where a front proxy sends them."""
    deciding, deciding_prefixes = DECIDING.union(names), (*DECIDING_PREFIXES, *prefixes)

    def passes(lower: bytes) -> bool:
        sent = to_backend([(lower, lower, b"")], _NOWHERE, keep_authorization=False, withheld=withheld)
        return len(sent) > 1  # the last says where the request came from

    def decides(lower: bytes) -> bool:
        return lower in deciding or lower.startswith(deciding_prefixes)

    return LineTable(read, decides, passes, NOTED)


def response_lines(read: Read) -> LineTable:
    return LineTable(
        read, DECIDING_RESPONSE.__contains__, lambda lower: bool(to_client([(lower, lower, b"")]))
    )
