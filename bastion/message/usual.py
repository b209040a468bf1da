"""· Which tags can be edited without a closer look?

Most links of most pages: lower-case, one URL and nothing else of interest, and that URL a plain path or
reference. One expression finds them, so that they cost little or no Python; every other tag takes
the long way, to the same result.
"""

from __future__ import annotations

import re

from bastion.message.page.attributes import ATTRIBUTES, NAMES, ORIGIN, PATH, REFERENCE
from bastion.message.page.grammar import BLANK
from bastion.message.page.stops import CONTENT

# No `<` in them, so that a tag begins at the last one before its URL.
_OTHERS = rb"""(?>(?:
    [%(b)b]++ (?!(?:%(attributes)b)=) [^A-Z%(b)b"'<>/=]++
    (?: = (?: "[^"<]*+" | '[^'<]*+' | [^%(b)b"'<>=`]++ ) )?
)*)"""
_USUAL = rb"""<
  (?: (?: (?:a|area|link|use|image) %(others)b [%(b)b]++ href
      | img %(others)b [%(b)b]++ src | form %(others)b [%(b)b]++ action )
      = (?! [%(b)b] )
      (?: "(%(path)b)"
        | ('%(path)b' | %(path)b (?=[%(b)b>]))
        | (["']?+) (?: %(reference)b | (%(origin)b) [^%(b)b"'<>`]*+ ) \3 )
    | (?:%(names)b) () )
  %(others)b [%(b)b]*+ /?+ >"""


def _usual() -> bytes:
    """For re.VERBOSE, with the groups that `tags` knows, and one for a quote."""
    words = {
        b"b": BLANK,
        b"attributes": b"|".join(map(re.escape, sorted(ATTRIBUTES))),
        b"names": b"|".join(sorted(NAMES - CONTENT - {b"base", b"meta"})),
        b"path": PATH,
        b"origin": ORIGIN,
        b"reference": REFERENCE,
    }
    return _USUAL % (words | {b"others": _OTHERS % words})


USUAL = _usual()
