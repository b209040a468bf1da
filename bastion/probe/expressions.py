"""· CEL over a JSON body, with the one variable `body`."""

from __future__ import annotations

import json
from typing import Any


class Expression:
    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        import cel  # 13 MiB, for those whose modules have expressions

        self.pattern = text
        self._program = cel.compile(text)

    def holds(self, body: bytes) -> bool:
        """Raises ValueError where the body is no JSON, or the result is no truth value."""
        # To Go, where modules come from, every number of JSON is a double.
        value = json.loads(body, parse_int=float)
        try:
            result = self._program.execute({"body": value})
        except Exception as error:  # whatever the library raises is an error of evaluation
            raise ValueError(str(error)) from error
        if not isinstance(result, bool):
            raise ValueError("the result of the expression is not true or false")
        return result


def expression(value: Any, path: str, wrong: list[str]) -> Any:
    try:
        return Expression(str(value))
    except Exception as error:  # the library's own kinds
        wrong.append(f"{path}: not a CEL expression: {' '.join(str(error).split())}")
        return None
