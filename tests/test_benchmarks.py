"""The measures of the benchmark of diarization."""

import argparse
from pathlib import Path

import pytest

from benchmarks import lineup, machine, table
from benchmarks.conversations import MINUTES, SPEAKERS, Conversation
from benchmarks.conversations_table import render
from benchmarks.measure import ALL_FILES, diarization, startup
from benchmarks.peers import FUNASR_LINE, SENKO_LINE, senko_seconds
from benchmarks.process import Finished
from benchmarks.sides import Pass

FUNASR = "dev_2spk dur 181 vad 0.91 emb 6.20 (231) cluster 0.02 total 7.13 rtf 0.0394 spk 6"
SENKO = (
    "dev_2spk dur 181 total 10.25 rtf 0.0566 spk 8 {'vad_time': 1.5, 'fbank_time': 0.25, "
    "'embeddings_time': 8.25, 'clustering_time': 0.125, 'total_time': 10.25}"
)


def test_what_funasr_tells_is_read():
    match = FUNASR_LINE.match(FUNASR)
    assert match["name"] == "dev_2spk"
    assert [match[stage] for stage in ("vad", "embedding", "clustering", "total")] == [
        *("0.91", "6.20", "0.02", "7.13")
    ]


def test_senkos_features_count_as_embedding():
    assert senko_seconds(SENKO_LINE.match(SENKO)) == {
        "vad": 1.5,
        "embedding": 8.5,
        "clustering": 0.125,
        "total": 10.25,
    }


def test_senko_tells_only_the_total_where_it_finds_no_speech():
    match = SENKO_LINE.match("silence dur 30 total 1.50 rtf 0.0500 spk 0 None")
    assert senko_seconds(match) == {"total": 1.5}


def test_a_seed_draws_the_same_conversation_and_stays_within_the_bounds():
    drawn = [Conversation.draw(seed) for seed in range(200)]
    assert drawn == [Conversation.draw(seed) for seed in range(200)]
    assert {one.speakers for one in drawn} == set(range(SPEAKERS[0], SPEAKERS[1] + 1))
    assert {one.minutes for one in drawn} == set(range(MINUTES[0], MINUTES[1] + 1))


MACHINE = {
    **dict.fromkeys(("cpu", "cores", "memory_gb", "python", "date", "commit"), "?"),
    "uncommitted_changes": False,
}


class Timed:
    """A side that takes a known time, twice as long in each round as in the last."""

    def __init__(self, vad_s, rest_s):
        self.vad_s, self.rest_s = vad_s, rest_s

    def diarize(self, recordings, out):
        timings = {
            path: {"vad": self.vad_s * number, "total": (self.vad_s + self.rest_s) * number}
            for number, path in enumerate(recordings, 1)
        }
        self.vad_s, self.rest_s = 2 * self.vad_s, 2 * self.rest_s
        return Pass(timings, dict.fromkeys(recordings, 10.0), Finished([], 1.0, 2.0, 3.0, 0.5))


def test_peers_are_compared_within_a_round_by_stage_and_over_all_files(tmp_path):
    sides = {"worker": Timed(1, 3), "funasr": Timed(8, 8), "senko": Timed(2, 6)}
    result = diarization(sides, ["a", "b"], 3, tmp_path)
    funasr = result["by_worker"]["funasr"]
    assert {name: ratio["median"] for name, ratio in funasr["vad"].items()} == {
        "a": 8.0,
        "b": 8.0,
        ALL_FILES: 8.0,
    }
    assert funasr["total"][ALL_FILES] == {"median": 4.0, "min": 4.0, "max": 4.0, "of_least": 4.0}
    assert result["by_worker"]["senko"]["total"]["b"]["median"] == 2.0
    assert result["real_time_factor"]["worker"]["a"]["total"] == {
        "median": 0.8,
        "min": 0.4,
        "max": 1.6,
    }


def scores(**der_of_side):
    """Scores of a conversation and of all, the confusion a tenth of the DER."""
    return {
        side: {
            "scores": {
                name: {
                    f"collar_{collar}": {
                        "der": der,
                        "confusion": der / 10,
                        "missed": 0.0,
                        "false_alarm": 0.0,
                        "speakers": 2 if side == "worker" else 3,
                        "reference_speakers": 2,
                    }
                    for collar in ("0.25", "0")
                }
                for name in ("seed_1", "overall")
            },
            "same_in_all_rounds": True,
        }
        for side, der in der_of_side.items()
    }


def targets(tmp_path, **der_of_side):
    sides = {side: Timed(1, 1) for side in der_of_side}
    result = {
        "machine": MACHINE,
        "conversations": {"seed_1": {"seed": 1, "speakers": 2, "minutes": 3}},
        **diarization(sides, ["seed_1"], 1, tmp_path),
        "accuracy": scores(**der_of_side),
    }
    lines = render(result).partition("Targets\n")[2].splitlines()
    return [line.split()[-1] for line in lines if "DER" in line or "count right" in line]


def test_the_worker_must_be_better_than_each_peer(tmp_path):
    assert targets(tmp_path / "a", worker=2.0, funasr=6.1, senko=3.0) == ["reached"] * 3
    assert targets(tmp_path / "b", worker=3.1, funasr=6.1, senko=3.0) == [
        *("MISSED", "MISSED", "reached")
    ]
    assert targets(tmp_path / "c", worker=2.0) == ["reached"]  # the count of speakers


def started(seconds):
    return Finished([], seconds, 2.0, 3.0, 0.5)


@pytest.mark.parametrize(
    ("funasr_s", "verdict"), [([9, 6.0, 12.0], "reached"), ([9, 5, 5], "MISSED")]
)
def test_starts_are_compared_but_for_the_first(funasr_s, verdict):
    seconds = {"worker": [9, 2.0, 3.0], "funasr": funasr_s}
    starts = {side: map(started, own).__next__ for side, own in seconds.items()}
    result = startup(starts, 2)
    assert result["seconds"]["worker"] == {"median": 2.5, "min": 2.0, "max": 3.0}
    assert table.startup({"machine": MACHINE, **result}).endswith(verdict)


def test_without_a_peer_the_worker_starts_alone():
    result = startup({"worker": lambda: started(2.0)}, 1)
    assert "1/3" not in table.startup({"machine": MACHINE, **result})


def test_the_versions_of_the_chosen_peers_alone_are_asked_for(monkeypatch):
    monkeypatch.setattr(machine, "describe", lambda *_, peer: list(peer))
    options = argparse.Namespace(volume=Path(), project="demo", peers=[])
    assert lineup.describe(options) == []
    options.peers = ["funasr"]
    found = lineup.describe(options)
    assert "funasr" in found
    assert not {"senko", "silero-vad", "hdbscan"} & set(found)
    options.peers = [*lineup.PEERS]
    both = lineup.describe(options)
    assert len(set(both)) == len(both)
