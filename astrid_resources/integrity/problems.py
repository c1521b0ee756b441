"""What a verification finds: each thing that is wrong, and what it looked at."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ProblemKind(StrEnum):
    """What is wrong."""

    MISSING_OBJECT = "missing_object"
    ALTERED_OBJECT = "altered_object"
    WRONG_SIZE = "wrong_size"
    WRONG_KEY = "wrong_key"
    ROWS_DIFFER = "rows_differ"
    AWAITS_RERUN = "awaits_rerun"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    subject: the object's key, or the product's id. text: what and where, for a person.
    product_row_ids: the manifest's rows whose product must be made again.
    source_row_ids: the rows (by table) whose object nobody here can make again.
    """

    kind: ProblemKind
    subject: str
    text: str
    product_row_ids: tuple[uuid.UUID, ...] = ()
    source_row_ids: tuple[tuple[str, uuid.UUID], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {"kind": self.kind.value, "subject": self.subject, "text": self.text}


@dataclass(frozen=True)
class Verification:
    """What was looked at, what is wrong, and objects that no row names (which is no fault).

    n_unhashed: objects whose bytes were not read, because only their presence was asked for.
    n_products_without_hash: products that an earlier version wrote without a hash of their rows.
    """

    problems: tuple[Problem, ...]
    n_products: int
    n_rows: int
    n_objects: int
    n_bytes: int
    n_unhashed: int
    n_products_without_hash: int
    orphans: tuple[str, ...] = field(repr=False)
    orphan_bytes: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        counts = Counter(problem.kind.value for problem in self.problems)
        return {
            "is_clean": self.is_clean,
            "n_products": self.n_products,
            "n_rows": self.n_rows,
            "n_objects": self.n_objects,
            "n_bytes": self.n_bytes,
            "n_unhashed": self.n_unhashed,
            "n_products_without_hash": self.n_products_without_hash,
            "n_orphans": len(self.orphans),
            "orphan_bytes": self.orphan_bytes,
            "orphans": list(self.orphans),
            "problem_counts": dict(sorted(counts.items())),
            "problems": [problem.as_dict() for problem in self.problems],
        }
