import resource
import tempfile
import tracemalloc
import wave
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.media import ENCODINGS, Samples, chirp, encode, raw_wav, silent_video, tone
from worker.audio import Audio, decode
from worker.control import JobControl
from worker.errors import (
    AudioTooLargeError,
    AudioTooLongError,
    CancelledError,
    InvalidInputError,
    UnsupportedAudioError,
    WorkerError,
)
from worker.waveform import SAMPLE_RATE

SAMPLE = Path(__file__).parent / "data" / "sample.wav"


def decoded(
    path: Path,
    offset: float = 0.0,
    duration: float | None = None,
    max_seconds: float = 60,
    control: JobControl | None = None,
) -> Audio:
    """Decode, with the waveform as an array; whatever happens, no file is left."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "samples.f32"
        try:
            audio = decode(
                path,
                target,
                control or JobControl(),
                max_seconds=max_seconds,
                offset=offset,
                duration=duration,
            )
        except BaseException:
            assert not target.exists()
            raise
        with audio.waveform as waveform:
            samples = waveform[:]
    assert np.abs(samples).max(initial=0) <= 1
    assert audio.duration == len(samples) / SAMPLE_RATE
    return replace(audio, waveform=samples)


def middle(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave out 100 ms at both ends, where a filter or codec settles."""
    return waveform[1600 : SAMPLE_RATE - 1600]


def similarity(waveform: NDArray[np.float32], reference: Samples) -> float:
    """Normalised correlation at zero lag: 1 for the same signal at the same time."""
    left, right = middle(waveform), middle(reference[:, 0])
    return float(left @ right / np.sqrt((left @ left) * (right @ right)))


def level_db(waveform: NDArray[np.float32], reference_amplitude: float) -> float:
    rms = np.sqrt(np.mean(middle(waveform) ** 2))
    return float(20 * np.log10(rms * np.sqrt(2) / reference_amplitude + 1e-12))


PCM = {
    "wav_u8": 1 / 100,
    "wav_mulaw": 3 / 100,
    **dict.fromkeys(("wav_s16", "w64", "aiff", "au", "caf", "flac", "mkv"), 1e-4),
    **dict.fromkeys(("wav_s24", "wav_s32", "wav_s64", "wav_f32", "wav_f64"), 2e-5),
}
"""Encodings that keep the samples, with the error that their width allows."""

NO_PRIMING_INFO = {"adts", "ts_video", "asf", "flv_video", "avi_video"}
"""Containers that do not say how much the codec put before the first sample."""


class TestContainers:
    @pytest.mark.parametrize("num_channels", [1, 2, 6, 8])
    @pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
    @pytest.mark.parametrize("encoding", PCM)
    def test_lossless(self, tmp_path, encoding, rate, num_channels):
        path = encode(tmp_path, encoding, chirp(1, rate, num_channels), rate)
        audio = decoded(path)
        assert (audio.sample_rate, audio.channels) == (rate, num_channels)
        assert audio.codec == ENCODINGS[encoding].codec
        assert len(audio.waveform) == SAMPLE_RATE
        error = middle(audio.waveform) - middle(chirp(1, SAMPLE_RATE)[:, 0])
        assert np.abs(error).max() < PCM[encoding]

    @pytest.mark.parametrize(
        ("encoding", "rate", "num_channels"),
        [
            ("mp3", 8000, 1),
            ("mp3", 16_000, 1),
            ("mp3", 44_100, 2),
            ("m4a", 8000, 1),
            ("m4a", 44_100, 2),
            ("m4a", 48_000, 6),
            ("m4a", 96_000, 8),
            ("adts", 48_000, 8),
            ("ogg", 48_000, 1),
            ("ogg", 48_000, 6),
            ("ogg", 48_000, 8),
            ("webm", 48_000, 2),
            ("webm", 48_000, 8),
            ("mp4_video", 48_000, 2),
            ("mp4_video", 44_100, 8),
            ("avi_video", 44_100, 2),
            ("flv_video", 44_100, 1),
            ("ts_video", 48_000, 6),
            ("asf", 44_100, 2),
        ],
    )
    def test_lossy(self, tmp_path, encoding, rate, num_channels):
        # The LFE of a lossy codec carries only bass: it is left silent.
        samples = chirp(1, rate, num_channels)
        silent = [3] if num_channels > 2 else []
        samples[:, silent] = 0
        audio = decoded(encode(tmp_path, encoding, samples, rate))
        assert (audio.sample_rate, audio.channels) == (rate, num_channels)
        assert audio.duration == pytest.approx(1, abs=0.18 if encoding in NO_PRIMING_INFO else 0.13)
        gain = (num_channels - len(silent)) / num_channels
        assert level_db(audio.waveform, 0.5 * gain) == pytest.approx(0, abs=1.5)
        if encoding not in NO_PRIMING_INFO:
            assert similarity(audio.waveform, chirp(1, SAMPLE_RATE)) > 0.98

    @pytest.mark.parametrize("num_channels", [3, 4, 5, 7, 12])
    def test_channels_without_a_layout(self, tmp_path, num_channels):
        data = np.full((1600, num_channels), 8192, dtype="<i2").tobytes()
        audio = decoded(raw_wav(tmp_path / "a.wav", data, num_channels=num_channels))
        assert audio.channels == num_channels
        np.testing.assert_allclose(audio.waveform, 0.25, atol=1e-6)

    def test_sample_equals_the_standard_library(self):
        with wave.open(str(SAMPLE)) as reader:
            assert (reader.getframerate(), reader.getnchannels()) == (SAMPLE_RATE, 1)
            data = reader.readframes(reader.getnframes())
        audio = decoded(SAMPLE)
        np.testing.assert_array_equal(audio.waveform, np.frombuffer(data, "<i2") / 32768)
        assert (audio.duration, audio.codec) == (30.0, "pcm_s16le")

    def test_cover_art_is_no_audio(self, tmp_path):
        mp3 = encode(tmp_path, "mp3", tone(1, 44_100), 44_100)
        png = av.CodecContext.create("png", "w")
        png.width, png.height, png.pix_fmt, png.time_base = 16, 16, "rgb24", 1
        picture = bytes(png.encode(av.VideoFrame(16, 16, "rgb24"))[0])
        body = b"\0image/png\0\3\0" + picture
        frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
        size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
        mp3.write_bytes(b"ID3\3\0\0" + size + frame + mp3.read_bytes())
        with av.open(str(mp3)) as container:
            assert [s.type for s in container.streams] == ["audio", "video"]
        assert decoded(mp3).duration == pytest.approx(1, abs=0.1)

    def test_tags_that_are_not_utf8(self, tmp_path):
        title = "中文标题".encode("gbk")
        info = b"INFOINAM" + len(title).to_bytes(4, "little") + title
        chunk = b"LIST" + len(info).to_bytes(4, "little") + info
        assert decoded(raw_wav(tmp_path / "a.wav", bytes(3200), extra=chunk)).duration == 0.1

    def test_the_name_does_not_matter(self, tmp_path):
        path = encode(tmp_path, "flac", chirp(1, 16_000), 16_000)
        audio = decoded(path.rename(tmp_path / "http:%d?.m3u8"))
        assert (audio.codec, audio.duration) == ("flac", 1.0)


class TestDownMix:
    @pytest.mark.parametrize("channel", range(6))
    @pytest.mark.parametrize("encoding", ["wav_s16", "flac"])
    def test_every_channel_weighs_the_same(self, tmp_path, encoding, channel):
        samples = np.zeros((16_000, 6), dtype=np.float32)
        samples[:, [channel]] = tone(1, 16_000, amplitude=0.9)
        audio = decoded(encode(tmp_path, encoding, samples, 16_000))
        assert level_db(audio.waveform, 0.9 / 6) == pytest.approx(0, abs=0.01)

    def test_full_scale_stays_full_scale(self, tmp_path):
        samples = np.repeat(tone(1, 16_000, amplitude=1.0), 8, axis=1)
        audio = decoded(encode(tmp_path, "wav_f32", samples, 16_000))
        np.testing.assert_allclose(audio.waveform, samples[:, 0], atol=1e-6)


class TestResampling:
    @pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
    def test_a_tone_keeps_pitch_level_and_length(self, tmp_path, rate):
        waveform = decoded(encode(tmp_path, "wav_f32", tone(1, rate), rate)).waveform
        assert len(waveform) == SAMPLE_RATE
        error = middle(waveform) - middle(tone(1, SAMPLE_RATE)[:, 0])
        assert np.abs(error).max() < 1e-4

    @pytest.mark.parametrize("frequency", [9000, 10_000, 15_000, 17_000])
    @pytest.mark.parametrize("rate", [44_100, 48_000, 96_000, 192_000])
    def test_what_does_not_fit_is_removed(self, tmp_path, rate, frequency):
        path = encode(tmp_path, "wav_f32", tone(1, rate, frequency), rate)
        assert level_db(decoded(path).waveform, 0.5) < -55

    def test_a_rate_that_changes_on_the_way(self, tmp_path):
        slow = encode(tmp_path, "adts", tone(1, 16_000), 16_000).read_bytes()
        fast = encode(tmp_path, "adts", tone(1, 48_000), 48_000).read_bytes()
        path = tmp_path / "both.aac"
        path.write_bytes(slow + fast)
        waveform = decoded(path).waveform
        assert len(waveform) / SAMPLE_RATE == pytest.approx(2, abs=0.3)
        for second in (waveform[:16_000], waveform[-16_000:]):
            spectrum = np.abs(np.fft.rfft(second * np.hanning(16_000)))
            assert spectrum.argmax() == pytest.approx(1000, abs=2)


class TestStretch:
    @pytest.mark.parametrize(
        ("encoding", "rate"),
        [("wav_s16", 44_100), ("mp3", 44_100), ("m4a", 48_000), ("ogg", 48_000)],
    )
    @pytest.mark.parametrize(("offset", "duration"), [(0.7, None), (0.0, 0.3), (1.2345, 0.5)])
    def test_equals_the_slice_of_the_whole(self, tmp_path, encoding, rate, offset, duration):
        path = encode(tmp_path, encoding, chirp(3, rate, 2), rate)
        start = round(offset * SAMPLE_RATE)
        stop = None if duration is None else start + round(duration * SAMPLE_RATE)
        expected = decoded(path).waveform[start:stop]
        np.testing.assert_array_equal(decoded(path, offset, duration).waveform, expected)

    def test_a_duration_beyond_the_end_gives_the_rest(self):
        assert decoded(SAMPLE, 29.5, 10).duration == 0.5

    @pytest.mark.parametrize("offset", [30.0, 31.5, 1e9])
    def test_an_offset_beyond_the_end(self, offset):
        with pytest.raises(InvalidInputError, match=r"audio\.offset is .* lasts 30\.000 s"):
            decoded(SAMPLE, offset)


class TestTooLong:
    @pytest.mark.parametrize("encoding", ["wav_s16", "mp3", "adts", "ogg", "mp4_video"])
    def test_longer_than_allowed(self, tmp_path, encoding):
        path = encode(tmp_path, encoding, tone(2, 48_000), 48_000)
        with pytest.raises(AudioTooLongError, match=r"at most 1\.5 s .*SPEECH_MAX_AUDIO_S"):
            decoded(path, max_seconds=1.5)
        with pytest.raises(AudioTooLongError):
            decoded(path, max_seconds=0.5, offset=0.1, duration=1.0)

    def test_exactly_as_long_as_allowed(self):
        assert decoded(SAMPLE, max_seconds=30).duration == 30.0

    def test_only_the_stretch_counts(self):
        assert decoded(SAMPLE, max_seconds=1, offset=10, duration=1).duration == 1.0
        assert decoded(SAMPLE, max_seconds=1, offset=29).duration == 1.0

    @pytest.mark.parametrize("stated_bytes", [0xFFFFFFFF, 0x7FFFFFFF, 0])
    def test_a_stream_of_unknown_length(self, tmp_path, stated_bytes):
        path = raw_wav(tmp_path / "a.wav", bytes(32_000), stated_bytes=stated_bytes)
        assert decoded(path).duration == 1.0


class TestTarget:
    def test_a_file_that_is_there_is_replaced(self, tmp_path):
        target = tmp_path / "samples.f32"
        target.write_bytes(b"x" * 10_000_000)
        with decode(SAMPLE, target, JobControl(), max_seconds=60).waveform as waveform:
            assert len(waveform) == target.stat().st_size / 4 == 30 * SAMPLE_RATE

    def test_memory_does_not_follow_the_length(self, tmp_path):
        path = raw_wav(tmp_path / "a.wav", bytes(2 * 8000 * 600), rate=8000)
        decoded(SAMPLE)  # imports
        tracemalloc.start()
        try:
            audio = decode(path, tmp_path / "samples.f32", JobControl(), max_seconds=600)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        audio.waveform.close()
        assert audio.duration == 600  # 38 MB of samples
        assert peak < 4e6

    def test_a_disk_without_space(self, tmp_path):
        target = tmp_path / "samples.f32"
        target.symlink_to("/dev/full")
        with pytest.raises(AudioTooLargeError, match=r"disk is full: 0 MB .* takes 230 MB"):
            decode(SAMPLE, target, JobControl(), max_seconds=60)
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_fills_up(self, tmp_path):
        target = tmp_path / "samples.f32"
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
        try:
            with pytest.raises(AudioTooLargeError, match="2 MB of decoded audio are written"):
                decode(SAMPLE, target, JobControl(), max_seconds=60)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            decode(SAMPLE, tmp_path / "none" / "samples.f32", JobControl(), max_seconds=60)


class CancelledAtCheck(JobControl):
    """A job that is cancelled while it is looked at for the n-th time."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    def check(self) -> None:
        self._left -= 1
        if not self._left:
            self.cancel()
        super().check()


class TestControl:
    @pytest.mark.parametrize(("encoding", "rate"), [("wav_s16", 48_000), ("m4a", 16_000)])
    @pytest.mark.parametrize(("offset", "duration"), [(0, None), (5, None), (5, 20)])
    def test_progress_is_reported_where_the_length_is_known(
        self, tmp_path, encoding, rate, offset, duration
    ):
        path = encode(tmp_path, encoding, chirp(40, rate), rate)
        reports = []
        control = JobControl(lambda stage, share: reports.append((stage, share)))
        decoded(path, offset, duration, control=control)
        assert {stage for stage, _ in reports} == {"decode"}
        shares = [share for _, share in reports]
        assert len(shares) >= 5
        assert shares == sorted(shares)
        assert shares[0] == 0
        assert 0.8 < shares[-1] <= 1

    def test_a_guessed_length_is_no_progress(self, tmp_path):
        path = encode(tmp_path, "mp3", chirp(10, 48_000), 48_000)
        reports = []
        decoded(path, control=JobControl(lambda *report: reports.append(report)))
        assert reports == []

    @pytest.mark.parametrize("number", [1, 20, 50])
    @pytest.mark.parametrize("encoding", ["wav_s16", "flac", "mp3", "adts", "ogg", "mp4_video"])
    def test_a_cancelled_job_ends(self, tmp_path, encoding, number):
        path = encode(tmp_path, encoding, chirp(10, 48_000), 48_000)
        with pytest.raises(CancelledError):
            decoded(path, control=CancelledAtCheck(number))

    def test_damage_from_end_to_end_can_be_cancelled(self, tmp_path):
        path = encode(tmp_path, "m4a", chirp(10, 48_000), 48_000, {"movflags": "faststart"})
        content = path.read_bytes()
        start = content.index(b"mdat") + 4
        path.write_bytes(content[:start] + b"\xff" * (len(content) - start))
        with pytest.raises(CancelledError):
            decoded(path, control=CancelledAtCheck(50))


class TestBadSamples:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("encoding", ["wav_f32", "wav_f64"])
    def test_not_finite_becomes_zero(self, tmp_path, encoding, bad):
        samples = chirp(1, 16_000)
        expected = samples.copy()
        samples[5000:5003], expected[5000:5003] = bad, 0
        audio = decoded(encode(tmp_path, encoding, samples, 16_000))
        np.testing.assert_allclose(audio.waveform, expected[:, 0], atol=1e-6)

    def test_not_finite_spreads_no_further_than_the_filter(self, tmp_path):
        samples = chirp(1, 48_000)
        samples[24_000] = np.nan
        waveform = decoded(encode(tmp_path, "wav_f32", samples, 48_000)).waveform
        far = np.r_[1600:7900, 8100:14_400]
        np.testing.assert_allclose(waveform[far], chirp(1, SAMPLE_RATE)[far, 0], atol=1e-4)

    @pytest.mark.parametrize("rate", [16_000, 48_000])
    def test_beyond_full_scale_is_clipped(self, tmp_path, rate):
        samples = np.sign(tone(1, rate, 100)) * np.float32(3)
        waveform = decoded(encode(tmp_path, "wav_f32", samples, rate)).waveform
        assert np.abs(waveform).max() == 1
        assert np.median(np.abs(waveform)) == pytest.approx(1, abs=0.02)

    def test_no_samples_are_no_error(self, tmp_path):
        audio = decoded(raw_wav(tmp_path / "a.wav", b""))
        assert (len(audio.waveform), audio.duration, audio.channels) == (0, 0.0, 1)
        assert audio.sample_rate == 16_000

    def test_a_tenth_of_a_second(self, tmp_path):
        assert decoded(raw_wav(tmp_path / "a.wav", bytes(3200))).duration == 0.1


class TestDamage:
    @pytest.mark.parametrize(
        "encoding", ["wav_s16", "flac", "mp3", "adts", "ogg", "webm", "ts_video"]
    )
    def test_a_truncated_file_gives_what_is_there(self, tmp_path, encoding):
        path = encode(tmp_path, encoding, chirp(8, 48_000), 48_000)
        whole = decoded(path).waveform
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        part = decoded(path).waveform
        assert 0.2 * len(whole) < len(part) < 0.8 * len(whole)
        num_same = len(part) - 8000
        np.testing.assert_allclose(part[:num_same], whole[:num_same], atol=1e-3)

    def test_a_truncated_m4a_needs_its_index(self, tmp_path):
        for options in ({}, {"movflags": "faststart"}):
            path = encode(tmp_path, "m4a", chirp(8, 48_000), 48_000, options)
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            if options:
                assert 2 < decoded(path).duration < 6
            else:
                with pytest.raises(UnsupportedAudioError, match="damaged"):
                    decoded(path)

    @pytest.mark.parametrize("encoding", ["flac", "mp3", "adts", "m4a", "ogg", "webm", "ts_video"])
    def test_damage_in_the_middle_is_skipped(self, tmp_path, encoding):
        path = encode(tmp_path, encoding, chirp(20, 48_000), 48_000)
        whole = decoded(path).waveform
        content = bytearray(path.read_bytes())
        half = len(content) // 2
        content[half : half + 2000] = np.random.default_rng(0).bytes(2000)
        path.write_bytes(content)
        assert len(decoded(path).waveform) > 0.7 * len(whole)

    def test_nothing_that_decodes(self, tmp_path):
        path = encode(tmp_path, "m4a", chirp(2, 48_000), 48_000, {"movflags": "faststart"})
        content = path.read_bytes()
        start = content.index(b"mdat") + 4
        path.write_bytes(content[:start] + b"\xff" * (len(content) - start))
        with pytest.raises(UnsupportedAudioError, match="Nothing in the audio stream"):
            decoded(path)
        path.write_bytes(content[:start])
        with pytest.raises(UnsupportedAudioError):
            decoded(path)

    def test_a_truncated_mp3_with_no_whole_frame(self, tmp_path):
        path = encode(tmp_path, "mp3", chirp(2, 48_000), 48_000)
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(UnsupportedAudioError):
            decoded(path)

    @pytest.mark.parametrize("encoding", ["wav_f32", "aiff", "flac", "mp3", "m4a", "ogg", "mkv"])
    def test_damage_anywhere_never_ends_in_another_error(self, tmp_path, encoding):
        random = np.random.default_rng(0)
        path = encode(tmp_path, encoding, chirp(0.3, 48_000, 2), 48_000)
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(60):
            damaged = content.copy()
            where = random.integers(0, min(len(content), random.choice([100, 1000, 10**6])), 3)
            damaged[where] = random.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            with suppress(WorkerError):
                assert np.isfinite(decoded(path).waveform).all()

    def test_nothing_stays_open(self, tmp_path):
        before = len(list(Path("/proc/self/fd").iterdir()))
        text = tmp_path / "a.wav"
        text.write_bytes(b"not audio" * 100)
        for _ in range(5):
            decoded(SAMPLE, 1, 1)
            with pytest.raises(AudioTooLongError):
                decoded(SAMPLE, max_seconds=1, duration=2)
            with pytest.raises(UnsupportedAudioError):
                decoded(text)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestRefused:
    @pytest.mark.parametrize(
        "content",
        [
            b"This is not audio.\n" * 500,
            b"<!doctype html><title>404</title>",
            b"RIFF",
            b"\0" * 4096,
            np.random.default_rng(0).bytes(200_000),
        ],
        ids=["text", "html", "four bytes", "zeros", "noise"],
    )
    @pytest.mark.parametrize("suffix", ["wav", "mp3"])
    def test_not_audio(self, tmp_path, capfd, suffix, content):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(content)
        with pytest.raises(UnsupportedAudioError, match=r"not audio.*Send wav") as caught:
            decoded(path)
        assert str(tmp_path) not in str(caught.value)
        assert capfd.readouterr() == ("", "")

    def test_an_empty_file(self, tmp_path):
        path = tmp_path / "a.wav"
        path.touch()
        with pytest.raises(UnsupportedAudioError, match="0 bytes"):
            decoded(path)

    def test_video_without_sound(self, tmp_path):
        with pytest.raises(UnsupportedAudioError, match=r"no audio stream \(only: video\)"):
            decoded(silent_video(tmp_path, 1))

    def test_an_unknown_codec(self, tmp_path):
        path = raw_wav(tmp_path / "a.wav", bytes(32_000), format_tag=0x1234)
        with pytest.raises(UnsupportedAudioError, match="codec"):
            decoded(path)

    @pytest.mark.parametrize("rate", [1, 999, 800_000])
    def test_an_absurd_sample_rate(self, tmp_path, rate):
        path = raw_wav(tmp_path / "a.wav", bytes(20_000), rate=rate)
        with pytest.raises(UnsupportedAudioError, match=f"has {rate} samples per second"):
            decoded(path, max_seconds=1, duration=1)

    def test_too_many_channels_to_convert(self, tmp_path):
        path = raw_wav(tmp_path / "a.wav", bytes(20_000), num_channels=200)
        with pytest.raises(UnsupportedAudioError, match="200 channels"):
            decoded(path)

    def test_encrypted(self, tmp_path):
        key = "0123456789abcdef0123456789abcdef"
        protection = {
            "encryption_scheme": "cenc-aes-ctr",
            "encryption_key": key,
            "encryption_kid": key,
        }
        path = encode(tmp_path, "mp4_video", tone(1, 48_000), 48_000, protection)
        with pytest.raises(UnsupportedAudioError, match="encrypted"):
            decoded(path)

    @pytest.mark.parametrize("kind", ["hls", "ffconcat", "ffconcat url", "sdp"])
    def test_a_list_of_other_files_is_not_followed(self, tmp_path, monkeypatch, kind):
        monkeypatch.chdir(tmp_path)
        wav = encode(tmp_path, "wav_s16", tone(1, 16_000), 16_000)
        segment = encode(tmp_path, "ts_video", tone(1, 48_000), 48_000)
        content = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n",
            "ffconcat": f"ffconcat version 1.0\nfile {wav.name}\n",
            "ffconcat url": f"ffconcat version 1.0\nfile 'file:{wav}'\n",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=audio 5004 RTP/AVP 96\na=rtpmap:96 L16/8000/1\n",
        }[kind]
        path = tmp_path / "list.m3u8"
        path.write_text(content)
        if kind in ("hls", "ffconcat"):  # the threat is real: FFmpeg left alone follows them
            with path.open("rb") as file, av.open(file) as container:
                assert sum(frame.samples for frame in container.decode(audio=0)) > 0
        with pytest.raises(UnsupportedAudioError, match="not audio"):
            decoded(path)
