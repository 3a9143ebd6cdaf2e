import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from tests.test_clustering import voices
from worker.control import JobControl
from worker.diarization import linkage as module
from worker.diarization.clustering import normalise
from worker.diarization.linkage import Groups, link, shrink
from worker.errors import CancelledError


def same_groups(first: np.ndarray, second: np.ndarray) -> bool:
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


@pytest.fixture
def unit() -> np.ndarray:
    return normalise(voices([40, 25, 60, 5, 1], noise=0.1))


def test_the_tree_is_that_of_average_linkage(unit):
    tree = link(Groups.of_windows(unit))
    # Half the squared distance of unit vectors is their cosine distance.
    expected = linkage(pdist(unit, "sqeuclidean") / 2, method="average")
    np.testing.assert_allclose(np.sort(tree.heights), expected[:, 2], atol=1e-12)
    for distance in (expected[:-1, 2] + expected[1:, 2]) / 2:
        labels = tree.cut(distance)
        assert same_groups(labels, fcluster(expected, distance, criterion="distance"))


@pytest.mark.parametrize("count", [1, 2, 5, 130, 131, 200])
def test_the_tree_is_cut_into_a_number_of_groups(unit, count):
    labels = link(Groups.of_windows(unit)).cut_into(count)
    assert sorted(set(labels)) == list(range(min(count, 131)))


def test_a_tree_of_groups_goes_on_where_that_of_their_windows_was_cut(unit):
    windows = Groups.of_windows(unit)
    whole = link(windows)
    groups = windows.joined(whole.cut(0.5))
    rest = link(groups)
    higher = np.sort(whole.heights)[len(unit) - len(groups.sizes) :]
    np.testing.assert_allclose(np.sort(rest.heights), higher, atol=1e-12)
    assert same_groups(groups.joined(rest.cut(0.8)).labels, whole.cut(0.8))


def test_joined_groups_have_the_sums_and_sizes_of_their_windows(unit):
    labels = np.arange(len(unit)) // 7
    groups = Groups.of_windows(unit).joined(labels).joined(np.arange(19) // 2)
    np.testing.assert_array_equal(groups.labels, labels // 2)
    np.testing.assert_array_equal(groups.sizes, [14] * 9 + [5])
    np.testing.assert_allclose(groups.sums[0], unit[:14].sum(axis=0))


def test_a_single_group_has_a_tree(unit):
    tree = link(Groups.of_windows(unit[:1]))
    assert tree.cut(0.5).tolist() == tree.cut_into(1).tolist() == [0]


def test_few_windows_are_not_joined(unit):
    groups = shrink(unit, lambda: None)
    assert groups.labels.tolist() == list(range(len(unit)))


def test_many_windows_become_few_groups_each_of_one_voice(monkeypatch):
    monkeypatch.setattr(module, "MAX_LINKED", 100)
    truth = np.random.default_rng(2).permutation(np.repeat([0, 1, 2], [300, 200, 450]))
    unit = normalise(voices([300, 200, 450])[np.argsort(np.argsort(truth, kind="stable"))])
    groups = shrink(unit, lambda: None)
    assert 3 <= len(groups.sizes) <= 100
    assert groups.sizes.sum() == len(unit)
    for group in range(len(groups.sizes)):
        assert len(set(truth[groups.labels == group])) == 1


@pytest.mark.parametrize("unit", [np.zeros((301, 192)), np.eye(301)], ids=["zero", "unlike"])
def test_windows_that_nothing_joins_become_few_groups(unit, monkeypatch):
    monkeypatch.setattr(module, "MAX_LINKED", 20)
    groups = shrink(unit, lambda: None)
    assert len(groups.sizes) <= 20
    assert sorted(set(groups.labels)) == list(range(len(groups.sizes)))


def test_a_cancelled_job_ends_between_two_stretches(monkeypatch):
    monkeypatch.setattr(module, "MAX_LINKED", 10)
    control = JobControl()
    stretches = []

    def check() -> None:
        stretches.append(None)
        if len(stretches) == 3:
            control.cancel()
        control.check()

    with pytest.raises(CancelledError):
        shrink(normalise(voices([95])), check)
    assert len(stretches) == 3
