"""Whether every object that the database names is there and whole, and every row as committed.

It changes nothing, and may run beside runs that commit: what the database named when it began was
stored before.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from astrid_resources.database import Database, ProductRow
from astrid_resources.database.replace import produced_tables, rows_of_products
from astrid_resources.database.rows import chunks, rows_digest
from astrid_resources.integrity.named import NamedObject, is_right, named_objects
from astrid_resources.integrity.problems import Problem, ProblemKind, Verification
from astrid_resources.objects import (
    CorruptObjectError,
    ListedObject,
    MissingObjectError,
    ObjectStore,
)

_READERS = 4
_PRODUCTS_AT_ONCE = 50
_PACKAGE_FILE = "package:"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Rows:
    problems: list[Problem]
    n_products: int
    n_rows: int
    n_without_hash: int


def verify(
    database: Database,
    store: ObjectStore,
    *,
    is_reading: bool = True,
    progress: Progress | None = None,
) -> Verification:
    """Return what is wrong between the tables and the store, and what nobody names.

    is_reading: read every object and compare its hash; otherwise only presence and size.
    progress: told after each object how many of how many are done.
    """
    with database.read() as session:
        named = [item for item in named_objects(session) if not _is_packaged(item)]
        rows = _check_rows(session)
    listed = {item.key: item for item in store.list()}
    wanted: dict[str, list[NamedObject]] = {}
    for item in named:
        if item.is_current:
            wanted.setdefault(item.key, []).append(item)
    problems = [
        Problem(
            ProblemKind.WRONG_KEY,
            item.key,
            f"{item.where} says {item.key!r}, which is not the key of its object",
            (item.product_row_id,) if item.product_row_id else (),
        )
        for group in wanted.values()
        for item in group
        if not is_right(item)
    ]
    present = {key: group for key, group in wanted.items() if all(map(is_right, group))}
    to_read = []
    for key, group in present.items():
        found = listed.get(key) or store.look_up(key)
        problem = _shape_problem(found, key, group)
        if problem is not None:
            problems.append(problem)
        else:
            to_read.append(key)
    if is_reading:
        damaged = _damaged(store, to_read, progress)
        problems += [_problem(kind, key, present[key]) for key, kind in damaged]
    orphans = sorted(set(listed) - {item.key for item in named})
    return Verification(
        (*problems, *rows.problems),
        n_products=rows.n_products,
        n_rows=rows.n_rows,
        n_objects=len(present),
        n_bytes=sum(listed[key].size for key in present if key in listed),
        n_unhashed=0 if is_reading else len(to_read),
        n_products_without_hash=rows.n_without_hash,
        orphans=tuple(orphans),
        orphan_bytes=sum(listed[key].size for key in orphans),
    )


def _is_packaged(item: NamedObject) -> bool:
    """Return whether a model comes with this package, which proves its files when it loads them."""
    return item.table == "models" and item.key.startswith(_PACKAGE_FILE)


def _shape_problem(
    found: ListedObject | None, key: str, group: Sequence[NamedObject]
) -> Problem | None:
    if found is None:
        return _problem(ProblemKind.MISSING_OBJECT, key, group)
    if any(item.size is not None and item.size != found.size for item in group):
        return _problem(ProblemKind.WRONG_SIZE, key, group)
    return None


def _damaged(
    store: ObjectStore, keys: Sequence[str], progress: Progress | None
) -> Iterator[tuple[str, ProblemKind]]:
    def read(key: str) -> ProblemKind | None:
        try:
            store.verify(key)
        except CorruptObjectError:
            return ProblemKind.ALTERED_OBJECT
        except MissingObjectError:
            return ProblemKind.MISSING_OBJECT
        return None

    with ThreadPoolExecutor(_READERS) as pool:
        for number, (key, kind) in enumerate(zip(keys, pool.map(read, keys), strict=True), 1):
            if progress is not None:
                progress(number, len(keys))
            if kind is not None:
                yield key, kind


def _problem(kind: ProblemKind, key: str, group: Sequence[NamedObject]) -> Problem:
    products = sorted({item.product_row_id for item in group if item.product_row_id}, key=str)
    sources = sorted({(item.table, item.row_id) for item in group if item.is_source}, key=str)
    where = ", ".join(sorted({f"{item.table}.{item.role}" for item in group}))
    words = kind.value.replace("_", " ")
    text = f"{words}: {where} ({len({item.row_id for item in group})} rows)"
    return Problem(kind, key, text, tuple(products), tuple(sources))


def _check_rows(session: Session) -> _Rows:
    query = sa.select(
        ProductRow.id, ProductRow.product_id, ProductRow.asset, ProductRow.stored_rows_sha256
    ).where(ProductRow.is_current)
    manifest = {row.id: row for row in session.execute(query.order_by(ProductRow.id))}
    problems = list(_awaiting(session))
    n_rows = 0
    for some in chunks(manifest, size=_PRODUCTS_AT_ONCE):
        stored = rows_of_products(session, some)
        for product_row_id in some:
            entry, rows = manifest[product_row_id], stored.get(product_row_id, {})
            n_rows += sum(len(members) for members in rows.values())
            if entry.stored_rows_sha256 in (None, rows_digest(rows)):
                continue
            counts = ", ".join(f"{len(members)} of {name}" for name, members in rows.items())
            text = (
                f"rows differ: {entry.asset} {entry.product_id} was committed with other rows "
                f"than stand there now ({counts or 'none'})"
            )
            subject = entry.product_id
            problems.append(Problem(ProblemKind.ROWS_DIFFER, subject, text, (product_row_id,)))
    n_without = sum(entry.stored_rows_sha256 is None for entry in manifest.values())
    return _Rows(problems, len(manifest), n_rows, n_without)


def _awaiting(session: Session) -> Iterator[Problem]:
    """Yield what a repair withdrew, and rows that count though their product was replaced."""
    withdrawn = sa.select(ProductRow).where(ProductRow.withdrawn_at.is_not(None))
    found: dict[uuid.UUID, list[str]] = {}
    for row in session.scalars(withdrawn.order_by(ProductRow.id)):
        found[row.id] = [f"{row.asset} {row.product_id} was withdrawn and not yet made again"]
    for name, table in produced_tables().items():
        query = (
            sa.select(ProductRow.id, sa.func.count())
            .join(table, table.c.manifest_id == ProductRow.id)
            .where(sa.not_(ProductRow.is_current), sa.not_(table.c.is_superseded))
            .group_by(ProductRow.id)
            .order_by(ProductRow.id)
        )
        for row_id, n_rows in session.execute(query):
            text = f"{n_rows} rows of {name} belong to it, which is not current"
            found.setdefault(row_id, []).append(text)
    for row_id, texts in found.items():
        yield Problem(
            ProblemKind.AWAITS_RERUN, str(row_id), f"awaits a re-run: {'; '.join(texts)}", (row_id,)
        )
