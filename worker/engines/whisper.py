"""Whisper: waveforms of up to 30 s -> text and word times, with faster-whisper (CTranslate2).

A batch goes through the encoder once and through the decoder once, whatever languages are in it.
The steps are those of faster-whisper 1.2.1's ``BatchedInferencePipeline``: features, encoder,
language, beam search without time stamps, words by the cross-attention. What differs is that an
item's result does not depend on what else is in the batch, and that silence and loops are found.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.device import Device
from worker.engines.base import AsrOptions, Recognition, Traits, Waveform, Writes
from worker.engines.pool import Pool
from worker.engines.whisper_decoder import BEAM_SIZE, Decoder
from worker.engines.whisper_device import load_cublas, place, refused
from worker.errors import ModelNotProvisionedError
from worker.segments import Word
from worker.text import join, split

Features = NDArray[np.float32]

FILES = ("config.json", "model.bin", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
"""One of them, by the release that converted the model."""

WINDOW_S = 30.0
WINDOW_FRAMES = 3000
"""What the encoder always works on, in frames of 10 ms."""
MIN_SAMPLES = 400
"""One frame of the spectrogram, 25 ms."""
MIN_PEAK = 1e-4
"""-80 dB, quieter than any room. For 30 s below it tiny.en writes ``you``, and is sure of it."""
JOIN_S = 2.0
"""Pauses up to here stay in a window: on the telephone sample one window then does the work of
five, and hears more of it right. In longer ones Whisper tends to write what nobody said."""


def load(folder: Path, device: Device) -> "Whisper":
    """Load a model in CTranslate2's format from a local folder; nothing is fetched.

    Raises
    ------
    ModelNotProvisionedError
        A file is missing. faster-whisper would ask the hub for a tokenizer.
    StartupError
        CTranslate2 cannot use the device, or not in that precision.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in VOCABULARIES):
        missing.append(" or ".join(VOCABULARIES))
    if missing:
        raise ModelNotProvisionedError(
            f"{folder.name} lacks {', '.join(missing)}. A Whisper model in CTranslate2's format is "
            f"{', '.join(FILES)} and its vocabulary: name them all in models.yaml and provision "
            "the volume again."
        )
    from faster_whisper import WhisperModel

    with refused(device):
        if device.name != "cpu":
            load_cublas()
        model = WhisperModel(str(folder), local_files_only=True, **place(device))
        return Whisper(model, device.threads)


class Whisper:
    """A loaded model; see `worker.engines.base.Recogniser`.

    Parameters
    ----------
    model : a `faster_whisper.WhisperModel`.
    threads : for the log-mel frames.
    """

    def __init__(self, model: Any, threads: int) -> None:  # noqa: ANN401 - its package is heavy
        from faster_whisper.feature_extractor import FeatureExtractor

        self._model = model
        self._decoder = Decoder(model)
        # The weights tell the number of mel bins, preprocessor_config.json or not.
        self._extractor = FeatureExtractor(feature_size=model.model.n_mels)
        self._pool = Pool(threads, "whisper")
        # faster-whisper names Cantonese too, which only large-v3 and what came of it know.
        known = model.hf_tokenizer.token_to_id
        codes: list[str] = model.supported_languages
        self.traits = Traits(
            languages=tuple(c for c in codes if known(f"<|{c}|>") is not None or c == "en"),
            hotwords=True,
            word_times=True,
            itn=Writes.ALWAYS,
            punctuation=Writes.ALWAYS,
            max_segment_s=WINDOW_S,
            join_s=JOIN_S,
            fixed_s=WINDOW_S,
            bytes_per_s=self._window_bytes() / WINDOW_S,
        )

    def __call__(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[Recognition]:
        """Recognise a batch; see `worker.engines.base.Recogniser`.

        Raises
        ------
        InvalidInputError
            A hotword is none, or they are more than the model takes.
        ValueError
            A waveform is longer than 30 s.
        """
        language = options.language if self._model.model.is_multilingual else "en"
        asked = None if language == "auto" else language
        nothing = Recognition("", () if options.word_times else None, asked)
        results = [nothing] * len(waveforms)
        audible = [i for i, waveform in enumerate(waveforms) if _is_audible(waveform)]
        features = self._pool.map(self._features, [waveforms[i] for i in audible])
        # One share of the batch for each run of the model that may go on beside others.
        num_runs = min(self._model.model.num_workers, len(audible))
        shares = [features[i::num_runs] for i in range(num_runs)]
        recognise = partial(self._recognise, asked=asked, options=options)
        for first, run in enumerate(self._pool.map(recognise, shares)):
            for i, recognition in zip(audible[first::num_runs], run, strict=True):
                results[i] = recognition if recognition.text else nothing
        return results

    def _features(self, waveform: Waveform) -> Features:
        """Log-mel frames, (num_mels, num_frames)."""
        features: Features = self._extractor(waveform)[:, :-1]
        if features.shape[1] > WINDOW_FRAMES:
            raise ValueError(
                f"A waveform of {len(waveform)} samples is longer than the {WINDOW_S:g} s that "
                "Whisper takes: cut it before."
            )
        return features

    def _recognise(
        self, features: Sequence[Features], asked: str | None, options: AsrOptions
    ) -> list[Recognition]:
        windows = np.stack([_padded(f) for f in features])  # (batch, num_mels, 3000)
        encoded = self._model.encode(windows)
        if asked:
            languages = [asked] * len(windows)
        else:
            ranked = self._model.model.detect_language(encoded)
            languages = [self._likeliest(scores) for scores in ranked]
        tokens = self._decoder(windows, encoded, languages, options.hotwords)
        texts = [self._decoder.text(window) for window in tokens]
        words: Sequence[tuple[Word, ...] | None] = [None] * len(texts)
        if options.word_times:
            num_frames = [f.shape[1] for f in features]
            words = self._decoder.words(encoded, tokens, languages, num_frames)
            # Words do not keep the space of ``Bonjour ?`` or between Thai phrases.
            texts = [join(split(text)) for text in texts]
        return [Recognition(*found) for found in zip(texts, words, languages, strict=True)]

    def _likeliest(self, scores: Sequence[tuple[str, float]]) -> str:
        """Return the first language that has a tokenizer; some models call Hebrew ``iw``."""
        codes = (token.strip("<|>") for token, _ in scores)
        return next(code for code in codes if code in self.traits.languages)

    def _window_bytes(self) -> float:
        """Memory of a window while the model works on it, in bytes.

        An estimate from the width of the encoder's output, at least what was measured with tiny.en:
        79 MB in float32, in the encoder. Wider models need more in the decoder.
        """
        frames = np.zeros((self._model.model.n_mels, 2), np.float32)
        width = self._model.encode(frames).shape[-1]
        positions = WINDOW_FRAMES // 2
        # Heads have 64 values. The widest, of 1,280, have at most 32 layers in the decoder.
        encoder = width / 64 * positions**2 + 12 * positions * width
        decoder = width / 40 * 2 * width * (positions + BEAM_SIZE * self._model.max_length / 2)
        value_bytes = 2 if self._model.model.compute_type.endswith("float16") else 4
        return float(max(encoder, decoder) * value_bytes)


def _is_audible(waveform: Waveform) -> bool:
    return len(waveform) >= MIN_SAMPLES and bool(np.abs(waveform).max() > MIN_PEAK)


def _padded(features: Features) -> Features:
    # With zeros, which are no silence: so do OpenAI and faster-whisper.
    return np.pad(features, ((0, 0), (0, WINDOW_FRAMES - features.shape[1])))
