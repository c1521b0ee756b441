"""Outcomes carry their numbers, also across processes."""

from __future__ import annotations

import pickle

from astrid_resources.images import KnownFailure, NoWork


class TooFewError(KnownFailure):
    pass


def test_numbers_and_code_survive_a_process_border():
    error = TooFewError("found 2, need 3: take a longer exposure", n_found=2, n_required=3)
    back = pickle.loads(pickle.dumps(error))
    assert isinstance(back, TooFewError)
    assert (back.message, back.numbers) == (error.message, {"n_found": 2, "n_required": 3})
    assert back.code == "TooFewError"


def test_no_work_is_not_a_failure():
    assert not issubclass(NoWork, KnownFailure)
    assert not issubclass(KnownFailure, NoWork)
