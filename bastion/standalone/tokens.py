"""Which user does a token identify?  kube-apiserver's static token file: `token,user,uid,"group,group"`.

An error names file and line, and never a token.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bastion.kube.user import User
from bastion.runtime.errors import StartError

log = logging.getLogger("bastion.standalone")


class TokenFileError(StartError):
    """`tokens.csv: line 3: …`"""


def read_tokens(path: Path) -> dict[str, User]:
    """Token -> user.  Where a token is there twice, the last line counts.  Raises TokenFileError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TokenFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise TokenFileError(f"{path}: is not UTF-8") from None  # the cause would quote the file
    tokens: dict[str, User] = {}
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        for row in rows:
            if not row:
                continue
            token, user = _entry(row, f"{path}: line {rows.line_num}")
            if token in tokens:
                log.warning(
                    "%s: line %d: this token is there twice, the last line counts", path, rows.line_num
                )
            tokens[token] = user
    except csv.Error as error:
        raise TokenFileError(f"{path}: line {rows.line_num}: {error}") from None
    return tokens


def _entry(row: list[str], where: str) -> tuple[str, User]:
    if len(row) < 3:
        raise TokenFileError(
            f"{where}: must have at least 3 columns (token, user name, user uid), found {len(row)}"
        )
    token, name, uid = row[:3]
    if not token or not name:
        raise TokenFileError(f"{where}: the {'user name' if token else 'token'} is empty")
    groups = row[3].split(",") if len(row) > 3 else []
    return token, User(name, uid, tuple(group.strip() for group in groups if group.strip()))


def token_file(users: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    """The text of a token file: user name -> (token, groups)."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(
        [token, name, name, ",".join(groups)] for name, (token, groups) in users.items()
    )
    return text.getvalue()
