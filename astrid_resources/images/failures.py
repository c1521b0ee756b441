"""The two outcomes that are not a result and not a bug: *no work* and *known failure*.

A subclass stands in the module that raises it; anything else that is raised is a bug and
propagates.
"""

from __future__ import annotations

from typing import Any


class _Outcome(Exception):  # noqa: N818 - an outcome, not an error
    def __init__(self, message: str, **numbers: Any) -> None:
        super().__init__(message)
        self.message = message
        self.numbers: dict[str, Any] = numbers

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.numbers)

    @property
    def code(self) -> str:
        """The stable short name of this outcome, stored beside its message."""
        return type(self).__name__


def _rebuild(kind: type[_Outcome], message: str, numbers: dict[str, Any]) -> _Outcome:
    outcome = kind.__new__(kind)
    _Outcome.__init__(outcome, message, **numbers)
    return outcome


class KnownFailure(_Outcome):
    """An input that cannot be processed; carries the numbers that say why.

    The message says what, the value got, what was allowed and what to do.
    """


class NoWork(_Outcome):
    """Nothing to do, as expected (no reference yet, no overlap); recorded, the run succeeds."""
