"""What the API reference shows of a docstring: doctests stand in code blocks."""

import re
from typing import Any

import griffe

#: Lines from ``>>>`` to the next empty line; where they are fenced already, the fence comes first.
DOCTEST = re.compile(r"(?P<fence>^```.*?^```$)|^>>> .*?(?=\n\n|\Z)", re.M | re.S)


class Doctests(griffe.Extension):
    """Fences doctests, which Markdown would take for quotations."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Changes the docstring of ``obj`` in place."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(_fenced, obj.docstring.value)


def _fenced(found: re.Match[str]) -> str:
    return found[0] if found["fence"] else f"```pycon\n{found[0]}\n```"
