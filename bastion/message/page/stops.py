"""· Which start tags need a closer look, and what does one expression pass over to find them?"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bastion.message.page.grammar import ATTRIBUTES, BLANK, NAME

FOREIGN = frozenset((b"svg", b"math"))
SCRIPT = b"script"
PLAINTEXT = b"plaintext"
RAW = {  # elements whose content is text up to their own end tag
    name: re.compile(rb"</%b[%b/>]" % (name, BLANK), re.IGNORECASE)
    for name in (b"style", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes")
}
CONTENT = FOREIGN | RAW.keys() | {SCRIPT, PLAINTEXT}
# The groups of a usual tag: a plain path in double quotes, one in single quotes (with these) or without; how
# a reference climbs; scheme and host of a URL; no URL at all.
PATH, BARE, CLIMB, ORIGIN, NOTHING = 1, 2, 4, 5, 6
_NONE_USUAL = rb"(?!)()()()()()()"


def stops_at(names: Iterable[bytes], usual: bytes = _NONE_USUAL) -> re.Pattern[bytes]:
    """Passes over what is no start tag of these names and changes nothing; then matches such a tag, if
    complete.

    `usual`: an expression for those that need no closer look, with the groups above.
    """
    letters: dict[bytes, list[bytes]] = {}
    for name in sorted(CONTENT.union(names)):
        letters.setdefault(name[:1], []).append(re.escape(name[1:]))
    # By first letter, which the regex engine decides on the next character alone.
    lower = b"|".join(b"%b(?:%b)" % (letter, b"|".join(rest)) for letter, rest in letters.items())
    mixed = b"|".join(
        b"[%b%b](?i:%b)" % (letter, letter.upper(), b"|".join(rest)) for letter, rest in letters.items()
    )
    return re.compile(
        # Atomic groups: possessive repeats of groups are right from Python 3.11.5 on (gh-106052).
        rb"""(?>(?: [^<]*+
          < (?: / (?![sSmM](?i:vg|ath)[%(b)b/>])
                      (?: [a-zA-Z][^>"'=]*+> | %(name)b %(rest)b> | [^a-zA-Z>][^>]*+> | > )
                  | (?!(?:%(lower)b)[%(b)b/>]) [a-z][a-z0-9]*+
                      (?: > | (?= [%(b)b/]) (?>(?:[ ][a-z-]++="[^"]*+")*) (?: > | %(rest)b> ) )
                  | (?=[a-z0-9]*+[^a-z0-9%(b)b/>]) (?!(?:%(mixed)b)[%(b)b/>]) %(name)b (?: > | %(rest)b> )
                  | !-- (?: -?> | (?>(?:[^-]++|-(?!-!?>))*) --!?> )
                  | ! (?!--|\[CDATA\[) [^>]*+>
                  | \?[^>]*+>
                  | (?=[^a-zA-Z/!?]) )
        )*) [^<]*+
        (?: %(usual)b | </?(%(name)b)(?:>|%(rest)b>) )?"""
        % {
            b"lower": lower,
            b"mixed": mixed,
            b"b": BLANK,
            b"name": NAME,
            b"rest": ATTRIBUTES,
            b"usual": usual,
        },
        re.VERBOSE,
    )
