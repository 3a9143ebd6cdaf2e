"""Damaged recordings and files that are none: an answer to each, at once, and no defect."""

import base64
import io
import random
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.hostile import codes
from tests.media import chirp, encode, raw_wav, silent_video
from tests.media_server import MediaServer
from worker import media
from worker.service import Service

SECONDS = 0.3
ENCODINGS = ("wav_s16", "flac", "mp3", "ogg", "m4a", "webm", "aiff")
TIMES = 5
"""How often each recording is damaged in each way."""
CPU_S = 10.0
"""Most that an answer may take."""

Damage = Callable[[random.Random, bytearray, bytes], None]
"""Changes a recording, with chance and another one to take from."""


def flip_bits(chance: random.Random, content: bytearray, other: bytes) -> None:
    for _ in range(chance.choice((1, 5, 100))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def flip_bits_of_the_header(chance: random.Random, content: bytearray, other: bytes) -> None:
    for _ in range(chance.choice((1, 2, 5))):
        content[chance.randrange(min(200, len(content)))] ^= 1 << chance.randrange(8)


def lie_about_a_size(chance: random.Random, content: bytearray, other: bytes) -> None:
    value = chance.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF))
    struct.pack_into(chance.choice("<>") + "I", content, chance.randrange(100), value)


def cut_off(chance: random.Random, content: bytearray, other: bytes) -> None:
    del content[chance.randrange(len(content)) :]


def cut_out(chance: random.Random, content: bytearray, other: bytes) -> None:
    start = chance.randrange(len(content))
    del content[start : start + chance.choice((1, 7, 1000))]


def put_zeros(chance: random.Random, content: bytearray, other: bytes) -> None:
    start = chance.randrange(len(content))
    length = min(chance.choice((16, 1000)), len(content) - start)
    content[start : start + length] = bytes(length)


def put_noise(chance: random.Random, content: bytearray, other: bytes) -> None:
    start = chance.randrange(len(content))
    content[start:start] = chance.randbytes(chance.choice((1, 100, 5000)))


def put_another_recording(chance: random.Random, content: bytearray, other: bytes) -> None:
    start = chance.choice((0, chance.randrange(len(content)), len(content)))
    content[start:start] = other


DAMAGES: tuple[Damage, ...] = (
    flip_bits,
    flip_bits_of_the_header,
    lie_about_a_size,
    cut_off,
    cut_out,
    put_zeros,
    put_noise,
    put_another_recording,
)


class Listener:
    """Has a file diarized, by way of the server or in the job itself, by turns."""

    def __init__(self, service: Service, server: MediaServer, folder: Path) -> None:
        self._service = service
        self._server = server
        self._folder = folder
        self.worst_s = 0.0
        self.files = 0
        self.failed = 0

    def __call__(self, content: bytes) -> list[str]:
        self.files += 1
        source = "data:audio/wav;base64," + base64.b64encode(content).decode()
        if self.files % 2:
            (self._folder / "audio").write_bytes(content)
            source = self._server.url("/files/audio")
        started = time.process_time()
        reply = self._service.answer({"task": "diarization", "audio": source})
        seconds = time.process_time() - started
        self.worst_s = max(self.worst_s, seconds)
        found = codes(reply)
        self.failed += bool(found)
        assert seconds < CPU_S
        return found


@pytest.fixture(scope="module")
def listen(service, tmp_path_factory) -> Iterator[Listener]:
    folder = tmp_path_factory.mktemp("served")
    with MediaServer(folder) as server:
        listener = Listener(service, server, folder)
        assert listener(raw_wav(folder / "warm", bytes(32_000)).read_bytes()) == []
        listener.worst_s = 0.0
        yield listener


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("recordings")
    rate, samples = 48_000, chirp(SECONDS, 48_000)
    return {name: encode(folder, name, samples, rate).read_bytes() for name in ENCODINGS}


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path, monkeypatch) -> Iterator[None]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_is_sound_is_heard(listen, recordings, name):
    assert listen(recordings[name]) == []


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_recordings(listen, recordings, name, damage):
    for seed in range(TIMES):
        chance = random.Random(f"{name} {damage.__name__} {seed}")
        content = bytearray(recordings[name])
        damage(chance, content, recordings[chance.choice(ENCODINGS)])
        found = listen(bytes(content))
        allowed = {"UNSUPPORTED_AUDIO", "AUDIO_TOO_LONG", "FETCH_FAILED"}
        assert set(found) <= allowed, f"{name} {seed}"


NOISE = np.random.default_rng(0).integers(-3000, 3000, 8000, dtype=np.int16).tobytes()
HEADERS = {
    "no_channels": {"num_channels": 0},
    "65535_channels": {"num_channels": 65_535, "bits": 8},
    "64_channels": {"num_channels": 64},
    "no_rate": {"rate": 0},
    "rate_of_1": {"rate": 1},
    "rate_of_999": {"rate": 999},
    "rate_of_768001": {"rate": 768_001},
    "rate_beyond_31_bits": {"rate": 2**31, "bits": 8},
    "no_bits": {"bits": 0},
    "1_bit": {"bits": 1},
    "65528_bits": {"bits": 65_528},
    "unknown_codec": {"format_tag": 0xABCD},
    "mp3_as_wav": {"format_tag": 0x55},
    "adpcm": {"format_tag": 2, "bits": 4},
    "extensible": {"format_tag": 0xFFFE},
    "claims_nothing": {"stated_bytes": 0},
    "claims_1e9_samples": {"stated_bytes": 2_000_000_000},
    "claims_all": {"stated_bytes": 0xFFFFFFFF},
    "odd_claim": {"stated_bytes": 15_999},
    "large_chunk_before": {"extra": b"LIST\xff\xff\xff\x7f"},
    "chunk_of_no_size_before": {"extra": b"junk\0\0\0\0" * 10_000},
}


@pytest.mark.parametrize("name", HEADERS)
def test_wav_headers(listen, tmp_path, name):
    content = raw_wav(tmp_path / "audio.wav", NOISE, **HEADERS[name]).read_bytes()
    assert set(listen(content)) <= {"UNSUPPORTED_AUDIO", "AUDIO_TOO_LONG"}


def zipped(size: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("audio.wav", bytes(size))
    return target.getvalue()


PAGES = b"OggS\0\x02" + b"\xff" * 22
OTHERS = {
    "one_byte": b"R",
    "riff_alone": b"RIFF",
    "text": "This is no audio. 这不是音频。\n".encode() * 1000,
    "json": b'{"audio": "a.wav"}',
    "zeros": bytes(1_000_000),
    "ones": b"\xff" * 1_000_000,
    "noise": random.Random(0).randbytes(1_000_000),
    "zip": zipped(10_000_000),
    "gzip": b"\x1f\x8b\x08\0" + bytes(100),
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0" + bytes(100),
    "gif": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(100),
    "pdf": b"%PDF-1.7\n" + bytes(100),
    "elf": b"\x7fELF\x02\x01\x01" + bytes(100),
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "concatenation": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "dash": b'<?xml version="1.0"?><MPD><Period/></MPD>',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "flac_of_2^36_samples": b"fLaC\x80\0\0\x22" + bytes(10) + b"\x0a\xc4\x42\xff" + b"\xff" * 20,
    "mp3_frames_of_nothing": (b"\xff\xfb\x90\x00" + bytes(413)) * 100,
    "mp3_headers_alone": b"\xff\xfb\x90\x00" * 100_000,
    "tag_of_256_mb": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(1000),
    "tags_alone": b"ID3\x04\0\0\0\0\0\0" * 10_000,
    "boxes_in_boxes": b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\xff\xff\xff\xffmoov" * 1000,
    "boxes_of_no_size": b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08free" * 50_000,
    "pages_without_end": PAGES + b"OggS" * 10_000,
    "ebml_without_end": b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff" * 1000,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_recording(listen, name):
    found = listen(OTHERS[name])
    assert set(found) <= {"UNSUPPORTED_AUDIO"}
    assert found or name.startswith("mp3")


def test_a_file_of_no_bytes_or_no_sound(listen, tmp_path):
    assert [listen(b""), listen(b"")] == [["UNSUPPORTED_AUDIO"]] * 2  # either way to it
    assert listen(silent_video(tmp_path, 0.5).read_bytes()) == ["UNSUPPORTED_AUDIO"]


def test_headers_that_are_looked_for_too_long(listen, monkeypatch):
    monkeypatch.setattr(media, "OPEN_S", 0.2)
    assert listen(PAGES + b"OggS" * 1_000_000) == ["UNSUPPORTED_AUDIO"]  # else 10 s of CPU


def test_figures(listen):
    assert listen.worst_s < CPU_S
    print(f"{listen.files} files, {listen.failed} refused, at worst {listen.worst_s:.3f} s of CPU")  # noqa: T201
