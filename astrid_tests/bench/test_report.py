"""The benchmark's tables say what was measured."""

import pytest

from astrid_assets.bench.chain import ChainCost
from astrid_assets.bench.measure import Cost
from astrid_assets.bench.peers import ABSENT, PeerCost, _measured
from astrid_assets.bench.report import growth_table, peer_table, process_table, stage_table
from astrid_assets.bench.stages import FLOOR, StageCost


def _cost(seconds, megabytes=100.0):
    return Cost(seconds, 2 * seconds, megabytes, megabytes)


def _cells(table):
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in table.splitlines()
        if "|" in line
    ]


@pytest.fixture
def costs():
    """A floor that goes with the pixels and a stage that goes with their square."""
    return [
        StageCost(size, stage, _cost((size / 1000) ** (2 * power)))
        for size in (1000, 2000, 4000)
        for stage, power in ((FLOOR, 1), ("resample the reference", 2))
    ]


def test_a_stage_is_told_in_units_of_the_floor_of_its_own_size(costs):
    rows = _cells(stage_table(costs))
    assert rows[0][-2:] == ["wall / floor", "CPU / floor"]
    assert [row[-2] for row in rows[2:]] == ["1.00", "1.00", "1.00", "4.00", "1.00", "16.00"]


def test_the_exponent_is_that_of_cpu_over_pixels(costs):
    rows = {row[0]: row for row in _cells(growth_table(costs))}
    assert rows[FLOOR][-1] == "1.00"
    assert rows["resample the reference"][-1] == "2.00"
    assert growth_table(costs[:2]) == ""


def test_a_peer_that_is_not_here_has_a_row_that_says_so(costs, tmp_path):
    absent = _measured("SExtractor", "detect", None, [], tmp_path)
    assert absent == PeerCost("SExtractor", "detect", None, ABSENT)
    rows = _cells(peer_table([absent], costs, 2000))
    assert rows[2] == ["SExtractor", "detect", "", "", ABSENT]
    assert rows[-1][:3] == ["AstrID", "resample the reference", "16.00"]


def test_a_chain_is_told_warm_and_cold_with_its_peak():
    chain = ChainCost(_cost(5.0, 900.0), _cost(2.0, 950.0), 396)
    rows = _cells(process_table({"chain": chain}, {"astrid difference": _cost(4.0, 990.0)}, 3072))
    assert rows[2:] == [
        ["chain: warm", "2.00", "4.00", "950"],
        ["chain: first turn of the process", "5.00", "10.00", "900"],
        ["`astrid difference`, fresh process", "4.00", "8.00", "990"],
    ]
