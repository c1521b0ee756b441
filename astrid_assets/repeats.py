"""Dagster: what is run again without anybody asking: runs that failed in passing, and repairs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from astrid_assets.jobs import ingest, night_chain, tile_references
from astrid_assets.partitions import is_in_calendar, partition_key
from astrid_assets.repairs import planned
from astrid_assets.reported import NO_SCHEMA
from astrid_resources.dagster_resources import DatabaseResource
from astrid_resources.integrity import pending_reruns

INTERVAL_S = 60
ATTEMPT_TAG = "astrid/attempt"
ATTEMPTS_MAX = 4
WAITS = (timedelta(minutes=2), timedelta(minutes=10), timedelta(minutes=60))
"""How long after its first, second and third failure a run is asked for again."""
LOOK_BACK = timedelta(days=1)

_PARTITION_TAG = "dagster/partition"
_JOBS = (ingest, night_chain, tile_references)
_PASSING_ERRORS = frozenset(
    {
        # the database
        "OperationalError",
        "InterfaceError",
        # the object store
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ResponseStreamingError",
        # the network
        "BrokenPipeError",
        "ConnectionError",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "TimeoutError",
    }
)
_PASSING_ANSWERS = ("(500)", "(503)", "(429)", "SlowDown", "InternalError", "ServiceUnavailable")


@dg.sensor(
    jobs=list(_JOBS),
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks again for runs that failed because a database, a store or a network was "
    "away: three times at most, after 2, 10 and 60 minutes. What failed by its data, its checks or "
    "a bug is left to people.",
)
def failed_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run per failed run whose failure may pass, unless somebody ran it again since."""
    requests = list(due_repeats(context.instance, now=datetime.now(UTC)))
    if not requests:
        return dg.SkipReason("no run failed in passing")
    return dg.SensorResult(run_requests=requests)


@dg.sensor(
    jobs=[night_chain, tile_references],
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs what `astrid verify --repair` withdrew: nights that a reference needs, the "
    "references, then the other nights.",
)
def withdrawn_products(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """One run per partition that lost a product, once what it needs is there again."""
    del context
    opened = database.database
    if not opened.is_current_schema():
        return NO_SCHEMA
    withdrawn = pending_reruns(opened)
    plan = planned(withdrawn)
    since: dict[tuple[str, str], str] = {}
    for item, at in withdrawn.items():
        key = (item.night, item.tile)
        since[key] = max(since.get(key, ""), at.isoformat())
    requests = [
        dg.RunRequest(
            run_key=f"withdrawn|{tile}|{since['', tile]}",
            job_name=tile_references.name,
            partition_key=tile,
        )
        for tile in plan.next_tiles
    ]
    requests += [
        dg.RunRequest(
            run_key=f"withdrawn|{night}|{tile}|{since[night, tile]}",
            job_name=night_chain.name,
            partition_key=partition_key(date.fromisoformat(night), tile),
        )
        for night, tile in plan.next_nights
        if is_in_calendar(date.fromisoformat(night))
    ]
    if not requests:
        return dg.SkipReason("nothing that a run makes was withdrawn")
    return dg.SensorResult(run_requests=requests)


def due_repeats(instance: dg.DagsterInstance, *, now: datetime) -> Iterator[dg.RunRequest]:
    """Yield a request for each failed run that is due to be tried again."""
    for job in _JOBS:
        failed = instance.get_run_records(
            dg.RunsFilter(
                job_name=job.name,
                statuses=[dg.DagsterRunStatus.FAILURE],
                updated_after=now - LOOK_BACK,
            )
        )
        for record in failed:
            run = record.dagster_run
            attempt = int(run.tags.get(ATTEMPT_TAG, "1"))
            if attempt >= ATTEMPTS_MAX or record.end_time is None:
                continue
            waited = now - datetime.fromtimestamp(record.end_time, UTC)
            if waited < WAITS[attempt - 1] or not is_newest(instance, run):
                continue
            if has_failed_in_passing(instance, run.run_id):
                yield dg.RunRequest(
                    run_key=f"{run.run_id}|again",
                    job_name=job.name,
                    partition_key=run.tags.get(_PARTITION_TAG),
                    tags={ATTEMPT_TAG: str(attempt + 1)},
                )


def is_newest(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether no later run of the same job and partition was asked for."""
    partition = run.tags.get(_PARTITION_TAG)
    same = dg.RunsFilter(
        job_name=run.job_name, tags={_PARTITION_TAG: partition} if partition else {}
    )
    (newest,) = instance.get_run_records(same, limit=1)
    return newest.dagster_run.run_id == run.run_id


def has_failed_in_passing(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether a step failed because something outside was away, and none otherwise."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    failures = [
        entry.dagster_event.step_failure_data.error
        for entry in events
        if entry.dagster_event is not None
    ]
    return bool(failures) and all(_passes(error) for error in failures)


def _passes(error: object) -> bool:
    while error is not None:
        name, text = getattr(error, "cls_name", None), getattr(error, "message", "")
        if name in _PASSING_ERRORS:
            return True
        if name == "ClientError" and any(code in text for code in _PASSING_ANSWERS):
            return True
        error = getattr(error, "cause", None)
    return False


REPEATS = (failed_runs, withdrawn_products)
