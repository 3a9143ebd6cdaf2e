"""Whole jobs through the real service: real models, real servers, real files."""

import dataclasses
import itertools
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests import media
from tests.service_jobs import SAMPLE, data_uri, diarize, wav
from volume_bootstrap.layout import dump, read_manifest
from worker.audio import decode
from worker.control import JobControl
from worker.device import choose
from worker.model_store import ModelStore
from worker.runpod_app import start_service
from worker.service import Service

pytestmark = pytest.mark.usefixtures("temporary_folder")


def samples_of(path: Path, folder: Path) -> np.ndarray:
    """Samples of a recording at 16 kHz."""
    with decode(path, folder / "samples", JobControl(), max_seconds=60).waveform as waveform:
        return waveform[:]


def reference(path: Path) -> list[tuple[float, float, str]]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(float(r[3]), float(r[3]) + float(r[4]), r[7]) for r in rows]


def test_the_sample_conversation_is_diarized(service, data):
    reply = diarize(service, SAMPLE)
    assert [s["speaker"] for s in reply["speakers"]] == ["SPEAKER_00", "SPEAKER_01"]
    # Of the moments at which exactly one person speaks, nearly all have the right one.
    truth = reference(data / "sample.rttm")
    heard: dict[tuple[str, str], int] = {}
    total = 0
    for moment in np.arange(0, 30, 0.01):
        speaking = {who for start, end, who in truth if start <= moment < end}
        found = [t["speaker"] for t in reply["turns"] if t["start"] <= moment < t["end"]]
        assert len(found) <= 2
        if len(speaking) == 1:
            total += 1
            if len(found) == 1:
                pair = (next(iter(speaking)), found[0])
                heard[pair] = heard.get(pair, 0) + 1
    names = sorted({who for _, _, who in truth})
    straight = heard[names[0], "SPEAKER_01"] + heard[names[1], "SPEAKER_00"]
    crossed = heard[names[0], "SPEAKER_00"] + heard[names[1], "SPEAKER_01"]
    assert max(straight, crossed) / total > 0.93


def test_the_reply_is_as_documented(service):
    reply = diarize(service, {"url": SAMPLE, "id": "call 7"}, formats=["json", "txt", "rttm"])
    assert set(reply) == {"task", "audio", "speakers", "turns", "models", "timings", "files"}
    assert reply["audio"] == {
        "id": "call 7",
        "duration": 30.0,
        "sample_rate": 16000,
        "channels": 1,
        "codec": "pcm_s16le",
    }
    assert reply["models"] == {
        "vad": "iic/speech_fsmn_vad_zh-cn-16k-common-pytorch",
        "embedding": "iic/speech_campplus_sv_zh_en_16k-common_advanced",
        "segmentation": "pyannote/segmentation-3.0",
    }
    stages = ["load", "fetch", "decode", "wait", "vad", "overlap", "embedding", "clustering"]
    assert list(reply["timings"]) == [*stages, "total", "rtf"]
    assert reply["files"]["rttm"].count("SPEAKER call_7 1 ") == len(reply["turns"])
    starts = [turn["start"] for turn in reply["turns"]]
    assert starts == sorted(starts)


def test_a_list_counts_the_load_of_its_models_once(make_settings):
    settings = make_settings()
    cold = Service(settings, ModelStore(settings.layout, "demo"), choose("cpu", 2))
    results = diarize(cold, ["volume://samples/none.wav", SAMPLE, SAMPLE])["results"]
    loads = [result["output"]["timings"]["load"] for result in results if result["ok"]]
    assert len(loads) == 2
    assert loads[0] > 0
    assert loads[1] == 0


def test_two_runs_are_equal(service):
    assert diarize(service, SAMPLE)["turns"] == diarize(service, SAMPLE)["turns"]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_known_number_of_speakers_is_honoured(service, count):
    assert len(diarize(service, SAMPLE, num_speakers=count)["speakers"]) == count


def test_bounds_are_honoured(service):
    assert len(diarize(service, SAMPLE, max_speakers=1)["speakers"]) == 1
    assert len(diarize(service, SAMPLE, min_speakers=4, max_speakers=6)["speakers"]) == 4


def test_a_stretch_is_as_if_it_were_all(service):
    reply = diarize(service, {"url": SAMPLE, "offset": 20, "duration": 5})
    assert reply["audio"]["duration"] == 5.0
    assert 0 <= reply["turns"][0]["start"] < reply["turns"][-1]["end"] <= 5.0


def test_http_and_data_give_what_the_volume_gives(service, server, data):
    expected = diarize(service, SAMPLE)["turns"]
    assert diarize(service, server.url("/files/sample.wav"))["turns"] == expected
    assert diarize(service, data_uri((data / "sample.wav").read_bytes()))["turns"] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"vad": {"max_end_silence_ms": 100}},
        {"vad": {"speech_noise_threshold": 0.999}},
        {"vad": {"max_segment_s": 2}},
        {"diarization": {"window_s": 1.0, "shift_s": 0.5}},
        {"diarization": {"shift_s": 0.25}},
        {"diarization": {"merge_threshold": 0.0}},
    ],
)
def test_each_option_changes_the_turns(service, options):
    # Where the segmentation hears speech, too, the VAD's segments matter less.
    alone = {"overlap": False}
    fields = options | {"diarization": alone | options.get("diarization", {})}
    usual = diarize(service, SAMPLE, diarization=alone)["turns"]
    assert diarize(service, SAMPLE, **fields)["turns"] != usual


def test_jobs_at_the_same_time_do_not_disturb_each_other(service):
    expected = diarize(service, SAMPLE)["turns"]
    job = {"task": "diarization", "audio": SAMPLE}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(service.answer, [job] * 8))
    assert [reply["turns"] for reply in replies] == [expected] * 8


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (SAMPLE, "sample"),
        ("volume://samples/a?b#c.wav", "a_b_c"),
        ("data", "audio"),
    ],
)
def test_files_name_the_recording(own_volume, make_settings, data, source, name):
    service = start_service(make_settings(own_volume), "demo")
    (own_volume.root / "samples" / "a?b#c.wav").symlink_to("sample.wav")
    audio = data_uri((data / "sample.wav").read_bytes()) if source == "data" else source
    rttm = diarize(service, audio, formats=["rttm"])["files"]["rttm"]
    assert {line.split()[1] for line in rttm.splitlines()} == {name}


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(16_000 * 5),
        np.zeros(0),
        np.zeros(1_600),
        np.full(16_000, 0.5),
        np.random.default_rng(0).normal(size=16_000 * 5) * 1e-4,
    ],
    ids=["silence", "0 s", "0.1 s", "constant", "faint noise"],
)
def test_audio_without_speech_is_a_success_with_empty_lists(service, samples):
    reply = diarize(service, wav(samples), formats=["json", "txt", "rttm"], num_speakers=2)
    assert (reply["speakers"], reply["turns"]) == ([], [])
    assert reply["files"] == {"txt": "", "rttm": ""}


def test_noise_and_music_are_answered(service):
    rng = np.random.default_rng(1)
    time = np.arange(16_000 * 20) / 16_000
    chords = sum(np.sin(2 * np.pi * f * time * (1 + (time // 2) / 12)) for f in (220, 277, 330, 55))
    for samples in (rng.normal(size=16_000 * 10) * 0.3, chords * 0.2):
        reply = diarize(service, wav(samples))
        assert "error" not in reply
        assert len(reply["speakers"]) <= 2


def test_samples_that_are_no_numbers_are_answered(service, data):
    samples = np.frombuffer((data / "sample.wav").read_bytes()[44:], "<i2").astype("<f4") / 32768
    samples = samples.copy()
    samples[160_000:160_100] = np.nan
    samples[200_000] = np.inf
    body = samples.tobytes()
    header = b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 3, 1, 16_000, 64_000, 4, 32)
    reply = diarize(service, data_uri(header + b"data" + struct.pack("<I", len(body)) + body))
    assert len(reply["speakers"]) == 2


def test_a_job_may_do_without_overlap(service):
    reply = diarize(service, SAMPLE, diarization={"overlap": False})
    assert "segmentation" not in reply["models"]
    assert "overlap" not in reply["timings"]
    turns = reply["turns"]
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(turns))
    shared = diarize(service, SAMPLE)["turns"]
    assert any(a["end"] > b["start"] for a, b in itertools.pairwise(shared))


def test_overlap_needs_a_model_for_it(make_settings, own_volume):
    path = own_volume.manifest("demo")
    manifest = read_manifest(path)
    diarization = {**manifest.defaults["diarization"], "diarization": {}}
    aliases = dict(diarization["models"])
    del aliases["segmentation"]
    defaults = {**manifest.defaults, "diarization": {**diarization, "models": aliases}}
    path.write_text(dump(dataclasses.replace(manifest, defaults=defaults)))
    service = start_service(make_settings(own_volume), "demo")
    assert "turns" in diarize(service, SAMPLE)
    error = diarize(service, SAMPLE, diarization={"overlap": True})["error"]
    assert error.startswith("MODEL_NOT_PROVISIONED: diarization.overlap: project demo has no model")


@pytest.mark.parametrize(
    "encoding", ["flac", "mp3", "m4a", "ogg", "webm", "mp4_video", "wav_f32", "wav_u8"]
)
def test_the_conversation_survives_each_container(service, data, tmp_path, encoding):
    speech = samples_of(data / "sample.wav", tmp_path)
    # Three samples for one: 48 kHz, which every codec takes; and stereo.
    samples = np.repeat(np.repeat(speech[:, np.newaxis], 3, axis=0), 2, axis=1)
    path = media.encode(tmp_path, encoding, samples, 48_000)
    assert len(diarize(service, data_uri(path.read_bytes()))["speakers"]) == 2


def test_a_truncated_mp3_gives_what_is_there(service, data, tmp_path):
    speech = samples_of(data / "sample.wav", tmp_path)
    path = media.encode(tmp_path, "mp3", speech[:, None], 16_000)
    content = path.read_bytes()
    reply = diarize(service, data_uri(content[: len(content) * 2 // 3]))
    assert 18 < reply["audio"]["duration"] < 22
    assert reply["turns"]
