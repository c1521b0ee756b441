"""The shared loop: three outcomes, work that is done is not done again."""

from __future__ import annotations

from datetime import date

import pytest

from astrid_assets.stage import Content, StageCode, Task, run_stage
from astrid_resources.images import KnownFailure, NoWork
from astrid_resources.products import Partition, Verdict

PARTITION = Partition(date(2018, 8, 3), "5-1")
CODE = StageCode("candidates", "1", {"threshold": 5.0})


class CloudyError(KnownFailure):
    pass


class NothingYet(NoWork):
    pass


def _run(make, *labels, code=CODE, existing=None, **more):
    tasks = [Task(label, (f"input-{label}",)) for label in labels]
    said: list[str] = []
    products = run_stage(
        code, PARTITION, tasks, make, existing=existing or {}, log=said.append, **more
    )
    return products, said


def test_three_outcomes_stay_apart():
    def make(task):
        if task.label == "bad":
            raise CloudyError("transparency 0.1, at least 0.3 is needed", transparency=0.1)
        if task.label == "none":
            raise NothingYet("no reference yet")
        if task.label == "graded":
            return Content(failures=("seeing: 4.2 arcsec, 3 allowed",))
        return Content(metrics={"n": 1})

    products, said = _run(make, "good", "bad", "none", "graded")
    assert [p.verdict for p in products.products] == [
        Verdict.PASSED,
        Verdict.FAILED,
        Verdict.NO_WORK,
        Verdict.FAILED,
    ]
    assert products.products[1].reasons == (
        "CloudyError: transparency 0.1, at least 0.3 is needed",
    )
    assert products.products[2].reasons == ("NothingYet: no reference yet",)
    assert [p.product_id for p in products.passed] == [products.products[0].product_id]
    assert "2/4 bad: failed" in said[1]


def test_a_bug_propagates():
    def make(task):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _run(make, "a")


def test_done_work_is_not_done_again():
    calls = []

    def make(task):
        calls.append(task.label)
        return Content()

    first, _ = _run(make, "a", "b")
    again, said = _run(make, "a", "b", "c", existing={p.product_id: p for p in first.products})
    assert calls == ["a", "b", "c"]
    assert again.products[:2] == first.products
    assert "unchanged" in said[0]


def test_no_work_is_asked_again():
    def nothing(task):
        raise NothingYet("no reference yet")

    first, _ = _run(nothing, "a")
    again, _ = _run(lambda task: Content(), "a", existing={p.product_id: p for p in first.products})
    assert again.products[0].verdict is Verdict.PASSED


def test_identity_follows_code_parameters_and_inputs():
    ids = {
        _run(lambda task: Content(), label, code=code)[0].products[0].product_id
        for label in ("a", "b")
        for code in (CODE, StageCode("candidates", "2", {"threshold": 5.0}),
                     StageCode("candidates", "1", {"threshold": 4.0}))
    }  # fmt: skip
    assert len(ids) == 6


def test_outcomes_can_leave_rows():
    def make(task):
        raise CloudyError("clouds")

    rows = {"preprocess_runs": ({"id": "1", "status": "failed"},)}
    products, _ = _run(make, "a", on_outcome=lambda task, outcome: Content(rows=rows))
    assert products.products[0].rows["preprocess_runs"][0]["status"] == "failed"
