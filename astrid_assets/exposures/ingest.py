"""Ingest: stable files of the drop folder go into the store, their exposures into the database.

A shell without Dagster: each file is copied and hashed once, examined from the stored copy, and
registered or quarantined in one transaction of its own, so that no file can sink another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from astrid_assets.exposures.decode import Decoder
from astrid_assets.exposures.examine import Examined, examine, survey_of_name
from astrid_assets.exposures.file_limits import (
    STANDARD_DECODE_LIMITS,
    STANDARD_LIMITS,
    DecodeLimits,
)
from astrid_assets.exposures.folder import FileStamp, is_settled, shown, snapshot_folder
from astrid_assets.exposures.ingest_report import (
    IngestedFile,
    IngestReport,
    QuarantinedEntry,
    WaitingFile,
)
from astrid_assets.exposures.ingest_rows import Deliveries, Known, Registry
from astrid_assets.exposures.rejection import Reason, RejectedFile
from astrid_assets.exposures.sidecar import SIDECAR_NAMES, Sidecar, read_sidecar
from astrid_assets.exposures.survey import SurveyConfig, SurveyError
from astrid_resources.database import Database, DeliveryOutcome
from astrid_resources.identity import sha256_file, sha256_json
from astrid_resources.objects import ObjectStore, object_key
from astrid_resources.products import StoredObject

INGEST_VERSION = "1"
"""Changed when the same file could become other rows: every file present is examined again."""


@dataclass(frozen=True)
class IngestSettings:
    """When a file is taken, and what decoding it may cost."""

    quiet_period_s: float = 10.0
    decode: DecodeLimits = STANDARD_DECODE_LIMITS
    file_bytes_max: int = STANDARD_LIMITS.file_bytes_max


def utc_now() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


def ingest_folder(
    folder: Path,
    *,
    store: ObjectStore,
    database: Database,
    surveys: Mapping[str, SurveyConfig],
    settings: IngestSettings | None = None,
    now: Callable[[], datetime] = utc_now,
    log: Callable[[str], None] | None = None,
    decoder: Decoder | None = None,
) -> IngestReport:
    """Take what is new in a drop folder; return what became of every file.

    A file in `<survey>/` belongs to that survey, one in the top folder to the survey whose `match`
    conditions its header meets. Files still being written wait; the same content again, under any
    name, adds nothing; new content of the same exposure becomes its current version; a changed
    sidecar row changes the facts of its exposures, also of files that left the folder.

    now: the clock. log: told of each file. decoder: a running child to use; it is left running.
    """
    settings = settings or IngestSettings()
    with nullcontext(decoder) if decoder else Decoder(settings.decode) as child:
        look = _Look(Path(folder), store, database, surveys, settings, now(), child)
        return look.run(log or _silent)


def _silent(_: str) -> None:
    return None


class _Look:
    """One look at the drop folder."""

    def __init__(
        self,
        folder: Path,
        store: ObjectStore,
        database: Database,
        surveys: Mapping[str, SurveyConfig],
        settings: IngestSettings,
        now: datetime,
        decoder: Decoder,
    ) -> None:
        self.folder = folder
        self.store = store
        self.surveys = surveys
        self.settings = settings
        self.now = now
        self.decoder = decoder
        self.sidecars, self.unreadable = read_sidecars(folder, surveys)
        self.registry = Registry(database, now=now)
        self.deliveries = Deliveries(database, folder=str(folder.absolute()), now=now)
        self.report = IngestReport()

    def run(self, log: Callable[[str], None]) -> IngestReport:
        snapshot = snapshot_folder(self.folder)
        self.report.ignored = tuple(shown(name) for name in snapshot.ignored)
        images = sorted(snapshot.images, key=lambda stamp: (stamp.mtime_ns, stamp.name))
        for number, stamp in enumerate(images, 1):
            log(f"[{number}/{len(images)}] {shown(stamp.name)}: {self._take(stamp)}")
        names = {shown(stamp.name) for stamp in images}
        self.registry.transaction(lambda session: self.deliveries.forget_all_but(session, names))
        for known in self.registry.known_files():
            self._refresh(known)
        return self.report

    def _take(self, stamp: FileStamp) -> str:
        name = shown(stamp.name)
        seen = self.deliveries.get(name)
        is_same = seen is not None and (seen.size, seen.mtime_ns) == (stamp.size, stamp.mtime_ns)
        waited_s = (self.now - seen.seen_at).total_seconds() if seen and is_same else 0.0
        quiet_s = self.settings.quiet_period_s
        is_stable = is_settled(stamp, now_s=self.now.timestamp(), quiet_period_s=quiet_s) or (
            is_same and waited_s >= quiet_s
        )
        if not is_stable:
            return self._wait(stamp, f"written less than {quiet_s:g} s ago")
        if set(Path(stamp.name).parts[:1]) & set(self.unreadable):
            return self._wait(stamp, self.unreadable[Path(stamp.name).parts[0]])
        if "" in self.unreadable:
            return self._wait(stamp, self.unreadable[""])
        if seen is not None and is_same and seen.sha256 is not None:
            stored = StoredObject(object_key(seen.sha256), seen.sha256, stamp.size)
            if seen.sidecar_sha256 == self._rules(stamp.name, seen.sha256):
                self.report.n_unchanged += 1
                return "unchanged"
            return self._file(stamp, stored, is_delivery=False)
        try:
            taken = self._store(stamp)
        except OSError as error:
            return self._wait(stamp, f"it cannot be read: {error.strerror or error}")
        if taken is None:
            return self._wait(stamp, "it changed while it was copied")
        return self._file(stamp, taken, is_delivery=True)

    def _wait(self, stamp: FileStamp, why: str) -> str:
        name, waiting = shown(stamp.name), DeliveryOutcome.WAITING
        self.registry.transaction(
            lambda session: self.deliveries.put(
                session, name, stamp, waiting, sha256=None, rules=None
            )
        )
        self.report.waiting.append(WaitingFile(name, why))
        return f"waiting: {why}"

    def _store(self, stamp: FileStamp) -> StoredObject | None:
        path = self.folder / stamp.name
        if stamp.size > self.settings.file_bytes_max:
            return StoredObject("", sha256_file(path), stamp.size)
        stored = self.store.put_file(path)
        after = path.stat()
        is_same = (after.st_size, max(after.st_mtime_ns, 0)) == (stamp.size, stamp.mtime_ns)
        return stored if is_same and stored.size == stamp.size else None

    def _rules(self, name: str, sha256: str) -> str:
        """Return the digest of everything but its bytes that decides what becomes of a file."""
        folder = Path(name).parts[0] if "/" in name else None
        concerned = sorted(self.surveys) if folder is None else [folder] * (folder in self.surveys)
        rows = {key: self.sidecars[key].row_for(file=name, sha256=sha256) for key in concerned}
        declared = {key: self.surveys[key].declaration for key in concerned}
        return sha256_json([INGEST_VERSION, folder, declared, rows])

    def _file(self, stamp: FileStamp, stored: StoredObject, *, is_delivery: bool) -> str:
        name, sha256 = shown(stamp.name), stored.sha256
        rules = self._rules(stamp.name, sha256)
        known = self.registry.known_file(sha256)
        try:
            if stamp.size > self.settings.file_bytes_max:
                raise RejectedFile(
                    f"the file has {stamp.size} bytes, allowed are {self.settings.file_bytes_max}",
                    reason=Reason.TOO_LARGE,
                )
            survey = survey_of_name(stamp.name, self.surveys) if known is None else None
            examined = self._examine(name, stored, survey=survey, known=known)
            item = self._accept(stamp, stored, examined, known, rules, is_delivery=is_delivery)
        except RejectedFile as problem:
            self._refuse(stamp, stored, problem, rules, is_delivery=is_delivery)
            return f"quarantined: {problem.code}: {problem.message}"
        if item is None:
            self.report.known.append(name)
            return "known already"
        self.report.ingested.append(item)
        return f"ingested as {', '.join(item.exposures)}"

    def _accept(
        self,
        stamp: FileStamp,
        stored: StoredObject,
        examined: Examined,
        known: Known | None,
        rules: str,
        *,
        is_delivery: bool,
    ) -> IngestedFile | None:
        """Write a file's exposures and its delivery in one transaction; None where it was known."""
        name = shown(stamp.name)
        partial = _partial(examined)
        tried: list[IngestedFile | None] = []

        def write(session: Session) -> IngestedFile | None:
            if tried and self.deliveries.is_recorded(session, name):
                return tried[-1]
            tried.append(self._register(session, name, stored, examined, known))
            if partial is None:
                self.registry.release(session, stored.sha256)
            else:
                self.registry.quarantine(session, name, stored, partial, is_delivery=is_delivery)
            is_other = is_delivery and self.registry.name_of(session, stored.sha256) != name
            outcome = DeliveryOutcome.KNOWN if is_other else DeliveryOutcome.INGESTED
            self.deliveries.put(session, name, stamp, outcome, sha256=stored.sha256, rules=rules)
            return tried[-1]

        item = self.registry.transaction(write)
        if partial is not None:
            self._tell_quarantine(name, stored, partial)
        return item

    def _refuse(
        self,
        stamp: FileStamp,
        stored: StoredObject,
        problem: RejectedFile,
        rules: str,
        *,
        is_delivery: bool,
    ) -> None:
        """Write why a file is not taken, and its delivery, in one transaction."""
        name, refused = shown(stamp.name), DeliveryOutcome.QUARANTINED
        tried: list[str] = []

        def write(session: Session) -> None:
            if tried and self.deliveries.is_recorded(session, name):
                return
            tried.append(name)
            self.registry.quarantine(session, name, stored, problem, is_delivery=is_delivery)
            self.deliveries.put(session, name, stamp, refused, sha256=stored.sha256, rules=rules)

        self.registry.transaction(write)
        self._tell_quarantine(name, stored, problem)

    def _examine(
        self,
        name: str,
        stored: StoredObject,
        *,
        survey: SurveyConfig | None,
        known: Known | None,
    ) -> Examined:
        if known is not None:
            survey = self.surveys.get(known.survey)
            name = known.file_name
            if survey is None:
                raise RejectedFile(
                    f"it is known as an exposure of survey {known.survey!r}, which is not declared",
                    reason=Reason.NO_SURVEY,
                )
        with self.store.fetch(stored.key) as path:
            return examine(
                path,
                name=name,
                sha256=stored.sha256,
                survey=survey,
                surveys=self.surveys,
                sidecars=self.sidecars,
                decoder=self.decoder,
                now=self.now,
            )

    def _register(
        self,
        session: Session,
        name: str,
        stored: StoredObject,
        examined: Examined,
        known: Known | None,
    ) -> IngestedFile | None:
        url = (self.folder / name).absolute().as_uri()
        change = self.registry.register(
            session,
            examined,
            stored=stored,
            file_name=name if known is None else known.file_name,
            fits_url=url if known is None else known.fits_url,
        )
        if change is None:
            return None
        labels = tuple(
            "/".join(filter(None, (item.observation_id, item.detector)))
            for item in examined.exposures
        )
        return IngestedFile(
            name,
            stored.sha256,
            examined.survey.name,
            labels,
            change.partitions,
            change.n_superseded,
            known is None,
        )

    def _tell_quarantine(self, name: str, stored: StoredObject, problem: RejectedFile) -> None:
        self.report.quarantined.append(
            QuarantinedEntry(name, stored.sha256, problem.code, problem.message)
        )

    def _refresh(self, known: Known) -> None:
        """Apply a sidecar row that changed to a stored file, wherever its delivery is now."""
        sidecar = self.sidecars.get(known.survey)
        if sidecar is None or known.survey not in self.surveys:
            return
        row = sidecar.row_for(file=known.file_name, sha256=known.sha256)
        if not row.facts + row.cards or row.digest == known.override_sha256:
            return
        try:
            examined = self._examine(known.file_name, known.stored, survey=None, known=known)
            item = self.registry.transaction(
                lambda session: self._register(
                    session, known.file_name, known.stored, examined, known
                )
            )
        except RejectedFile as problem:
            self._keep_and_tell(known, problem)
            return
        if item is not None:
            self.report.ingested.append(item)

    def _keep_and_tell(self, known: Known, problem: RejectedFile) -> None:
        self.registry.transaction(
            lambda session: self.registry.quarantine(
                session, known.file_name, known.stored, problem, is_delivery=False
            )
        )
        self._tell_quarantine(known.file_name, known.stored, problem)


def _partial(examined: Examined) -> RejectedFile | None:
    """Return the problem of a file that is taken without some of its images."""
    if not examined.rejected:
        return None
    text = f"taken without {len(examined.rejected)} of its images: " + "; ".join(
        examined.rejected[:20]
    )
    return RejectedFile(text, reason=Reason.PARTLY_ACCEPTED)


def read_sidecars(
    folder: Path, surveys: Mapping[str, SurveyConfig]
) -> tuple[dict[str, Sidecar], dict[str, str]]:
    """Return the sidecars by survey (declared ones, then the drop folder's, which win).

    Second: why the files of a folder ("" for all) must wait, where its sidecar cannot be read.
    """
    unreadable: dict[str, str] = {}
    everywhere = _dropped(folder, "", unreadable)
    sidecars = {}
    for name, survey in surveys.items():
        declared = Sidecar()
        if survey.sidecar_path is not None:
            declared = read_sidecar(survey.sidecar_path)
        sidecars[name] = declared + everywhere + _dropped(folder / name, name, unreadable)
    return sidecars, unreadable


def _dropped(folder: Path, name: str, unreadable: dict[str, str]) -> Sidecar:
    sidecar = Sidecar()
    for path in (folder / file for file in SIDECAR_NAMES):
        if path.is_file():
            try:
                sidecar += read_sidecar(path)
            except (SurveyError, OSError, UnicodeError) as error:
                unreadable[name] = str(error)
    return sidecar
