"""Names of transients: sayable, issued once, kept through merges and splits.

Which name a group of detections carries is a pure function of the groups and of the names known so
far; writing them down is the business of `update`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from astrid_assets.catalog.association import Group, separation_arcsec

PREFIX = "AID"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MIN_LETTERS = 4
_FORM = re.compile(rf"{PREFIX}(\d\d|\d{{4}})([a-z]{{{_MIN_LETTERS},}})")


def name_of(year: int, serial: int) -> str:
    """Return the name of the `serial`-th (from 0) source first seen in `year`: AID26aaaa, ..."""
    if serial < 0 or year < 0:
        raise ValueError(f"year and serial must not be negative, got {year}, {serial}")
    width, offset = _MIN_LETTERS, 0
    while serial - offset >= len(_LETTERS) ** width:
        offset += len(_LETTERS) ** width
        width += 1
    rest, letters = serial - offset, ""
    for _ in range(width):
        rest, digit = divmod(rest, len(_LETTERS))
        letters = _LETTERS[digit] + letters
    return f"{PREFIX}{_year_text(year)}{letters}"


def parse_name(name: str) -> tuple[int, int]:
    """Return (year, serial) of a name; ValueError where it is none of ours."""
    match = _FORM.fullmatch(name)
    if match is None:
        raise ValueError(f"a transient's name is like {name_of(2026, 28731)}, got {name!r}")
    digits, letters = match.groups()
    serial = sum(len(_LETTERS) ** width for width in range(_MIN_LETTERS, len(letters)))
    value = 0
    for letter in letters:
        value = value * len(_LETTERS) + _LETTERS.index(letter)
    year = int(digits)
    return (2000 + year if len(digits) == 2 else year), serial + value


def _year_text(year: int) -> str:
    return f"{year % 100:02d}" if 2000 <= year < 2100 else f"{year:04d}"


def next_serials(names: Sequence[str]) -> dict[int, int]:
    """Return the first serial not yet issued, by year, after all `names` ever issued."""
    following: dict[int, int] = {}
    for name in names:
        year, serial = parse_name(name)
        following[year] = max(following.get(year, 0), serial + 1)
    return following


@dataclass(frozen=True)
class KnownName:
    """A name issued before: the ids of its member detections and its frozen position, degrees.

    No members: it was merged into another, or its detections were withdrawn or replaced.
    """

    name: str
    members: frozenset[str]
    ra: float
    dec: float


@dataclass(frozen=True)
class Alias:
    """`name` also stands for the transient now called `current`; reason "merged" or "split"."""

    name: str
    current: str
    reason: str


@dataclass(frozen=True)
class Naming:
    """names: the name of each group, in the groups' order. withdrawn: names left without group."""

    names: tuple[str, ...]
    aliases: tuple[Alias, ...]
    withdrawn: tuple[str, ...]
    issued: tuple[str, ...]


def assign_names(
    groups: Sequence[Group],
    known: Sequence[KnownName],
    *,
    radius_arcsec: float,
    issue: Callable[[Group], str],
) -> Naming:
    """Return which group carries which name.

    A known name follows most of its members (ties to the group that comes first); one without
    surviving members follows its position, within `radius_arcsec` of a member. A group keeps the
    oldest of the names that follow it, those with members first; the others become aliases. A
    group that no name follows gets a new one, and an alias to each name its members came from.
    """
    owner = {entry.name: _follow(entry, groups, radius_arcsec) for entry in known}
    by_name = {entry.name: entry for entry in known}
    carried: dict[int, str] = {}
    aliases: list[Alias] = []
    for index, group in enumerate(groups):
        followers = [name for name, target in owner.items() if target == index]
        followers.sort(key=lambda name: (not by_name[name].members & set(group.ids), _age(name)))
        if followers:
            carried[index] = followers[0]
            aliases += [Alias(name, followers[0], "merged") for name in followers[1:]]
    issued = {index: issue(group) for index, group in enumerate(groups) if index not in carried}
    for index, name in issued.items():
        came_from = sorted(entry.name for entry in known if entry.members & set(groups[index].ids))
        aliases += [Alias(old, name, "split") for old in came_from]
    names = tuple((carried | issued)[index] for index in range(len(groups)))
    withdrawn = tuple(sorted(name for name, target in owner.items() if target is None))
    return Naming(names, tuple(aliases), withdrawn, tuple(issued.values()))


def _age(name: str) -> tuple[int, int]:
    return parse_name(name)


def _follow(entry: KnownName, groups: Sequence[Group], radius_arcsec: float) -> int | None:
    common = [len(entry.members & set(group.ids)) for group in groups]
    if any(common):
        return int(np.argmax(common))
    nearest = [
        float(separation_arcsec(entry.ra, entry.dec, group.members.ra, group.members.dec).min())
        for group in groups
    ]
    if nearest and min(nearest) <= radius_arcsec:
        return int(np.argmin(nearest))
    return None
