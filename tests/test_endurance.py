"""Good and bad jobs in a row on one worker; `make faults` has a thousand of them."""

from tests.faults.endurance import endure
from tests.faults.worker_scene import DATA, Trial, WorkerScene
from tests.media_server import MediaServer


def test_bad_jobs_spoil_no_good_ones_and_nothing_is_left(platform, tmp_path, volume):
    with MediaServer(DATA) as media:
        trial = Trial(WorkerScene(platform, media, tmp_path, volume), "60 jobs in a row")
        row = trial.row(endure(trial, 60, 40))
    # So few jobs are no measure of memory.
    assert [problem for problem in row.problems if "memory" not in problem] == []
    assert (row.jobs, row.results, row.lost) == (60, 60, 0)
