"""Whisper: waveforms of up to 30 s -> text and word times, with faster-whisper (CTranslate2).

A batch goes through the encoder once and through the decoder once, whatever languages are in it.
The steps are those of faster-whisper 1.2.1's ``BatchedInferencePipeline``: features, encoder,
language, beam search without time stamps, words by the cross-attention. What differs is that an
item's result does not depend on what else is in the batch, and that silence and loops are found.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.device import Device
from worker.engines.base import AsrOptions, Recognition, Traits, Waveform, Writes
from worker.engines.whisper_words import has_sound, to_words
from worker.errors import InvalidInputError, ModelNotProvisionedError, StartupError
from worker.segments import Word

FILES = ("config.json", "model.bin", "tokenizer.json")

WINDOW_S = 30.0
WINDOW_FRAMES = 3000
"""What the encoder always works on, in frames of 10 ms."""
MIN_SAMPLES = 400
"""One frame of the spectrogram, 25 ms."""
MIN_PEAK = 1 / 32_768
"""One step of 16 bits. On digital silence tiny.en writes ``you``, and is sure of it."""
JOIN_S = 2.0
BEAM_SIZE = 5

NO_SPEECH = 0.6
MIN_LOG_PROB = -1.0
"""A window is silent where both say so: OpenAI's rule and values (whisper/transcribe.py)."""
MAX_COMPRESSION = 2.4
"""Text that deflate makes this many times smaller is a loop: OpenAI's value."""
LOOP_TOKENS = 3
"""A loop is decoded again, with no run of so many tokens twice in it."""


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
    if missing:
        raise ModelNotProvisionedError(
            f"{folder.name} lacks {', '.join(missing)}. A Whisper model in CTranslate2's format is "
            f"{', '.join(FILES)} and its vocabulary: name them all in models.yaml and provision "
            "the volume again."
        )
    from faster_whisper import WhisperModel

    kind, index = _ctranslate2_device(device)
    model = WhisperModel(
        str(folder),
        device=kind,
        device_index=index,
        compute_type=_compute_type(device),
        cpu_threads=device.threads,
        local_files_only=True,
    )
    return Whisper(model, device.threads)


def _ctranslate2_device(device: Device) -> tuple[str, int]:
    kind, _, index = device.name.partition(":")
    return kind, int(index or 0)


def _compute_type(device: Device) -> str:
    import ctranslate2

    kind, index = _ctranslate2_device(device)
    wanted: str = device.precision
    if wanted == "int8":
        wanted = "int8_float32" if kind == "cpu" else "int8_float16"
    try:
        allowed = ctranslate2.get_supported_compute_types(kind, index)
    except (RuntimeError, ValueError) as error:
        raise StartupError(
            f"CTranslate2 {ctranslate2.__version__} cannot use {device.name}: {error}. Check the "
            "GPU's driver and the CUDA libraries on the volume, or set SPEECH_DEVICE=cpu."
        ) from error
    if wanted not in allowed:
        raise StartupError(
            f"Whisper cannot run in {device.precision} on {device.name}: CTranslate2 "
            f"{ctranslate2.__version__} has {', '.join(sorted(allowed))} there. Set "
            "SPEECH_PRECISION to float32, bfloat16, float16 or int8, as far as they are among "
            "these, or to auto."
        )
    return wanted


class Whisper:
    """A loaded model; see `worker.engines.base.Recogniser`.

    OpenAI's rules for silence and for loops are kept without its random sampling, so that the same
    sound always gives the same text: a loop is decoded once more by the same beam search, which may
    then not repeat itself. A low probability alone changes nothing.
    """

    def __init__(self, model: Any, threads: int) -> None:  # noqa: ANN401 - a WhisperModel
        from faster_whisper.feature_extractor import FeatureExtractor
        from faster_whisper.transcribe import get_suppressed_tokens

        self._model = model
        self._multilingual: bool = model.model.is_multilingual
        # The weights tell the number of mel bins, preprocessor_config.json or not.
        self._extractor = FeatureExtractor(feature_size=model.model.n_mels)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="log-mel")
        self._suppressed = list(get_suppressed_tokens(self._tokenizer("en"), [-1]))
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
            The hotwords are more than the model's prompt holds.
        ValueError
            A waveform is longer than 30 s.
        """
        language = options.language if self._multilingual else "en"
        asked = None if language == "auto" else language
        nothing = Recognition("", () if options.word_times else None, asked)
        results = [nothing] * len(waveforms)
        audible = [
            i
            for i, waveform in enumerate(waveforms)
            if len(waveform) >= MIN_SAMPLES and np.abs(waveform).max() > MIN_PEAK
        ]
        if audible:
            found = self._recognise([waveforms[i] for i in audible], asked, options)
            for i, recognition in zip(audible, found, strict=True):
                results[i] = recognition if recognition.text else nothing
        return results

    def _recognise(
        self, waveforms: Sequence[Waveform], asked: str | None, options: AsrOptions
    ) -> list[Recognition]:
        features = list(self._pool.map(self._features, waveforms))
        windows = np.stack([_padded(f) for f in features])  # (batch, num_mels, 3000)
        encoded = self._model.encode(windows)
        if asked:
            languages = [asked] * len(waveforms)
        else:
            ranked = self._model.model.detect_language(encoded)
            languages = [scores[0][0].strip("<|>") for scores in ranked]
        prompts = [self._prompt(language, options.hotwords) for language in languages]
        tokens = self._decode(encoded, prompts)
        if loops := [i for i, window in enumerate(tokens) if self._is_loop(window)]:
            encoded_loops = self._model.encode(windows[loops])
            again = self._decode(encoded_loops, [prompts[i] for i in loops], LOOP_TOKENS)
            for i, window in zip(loops, again, strict=True):
                tokens[i] = window
        texts = [self._text(window) for window in tokens]
        words: Sequence[tuple[Word, ...] | None] = [None] * len(texts)
        if options.word_times:
            words = self._words(encoded, tokens, languages, [f.shape[1] for f in features])
        return [Recognition(*found) for found in zip(texts, words, languages, strict=True)]

    def _features(self, waveform: Waveform) -> NDArray[np.float32]:
        """Log-mel frames, (num_mels, num_frames)."""
        features: NDArray[np.float32] = self._extractor(waveform)[:, :-1]
        if features.shape[1] > WINDOW_FRAMES:
            raise ValueError(
                f"A waveform of {len(waveform)} samples is longer than the {WINDOW_S:g} s that "
                "Whisper takes: cut it before."
            )
        return features

    def _tokenizer(self, language: str) -> Any:  # noqa: ANN401 - a Tokenizer
        from faster_whisper.tokenizer import Tokenizer

        vocabulary = self._model.hf_tokenizer
        return Tokenizer(vocabulary, self._multilingual, task="transcribe", language=language)

    def _prompt(self, language: str, hotwords: Sequence[str]) -> list[int]:
        tokenizer = self._tokenizer(language)
        text = ", ".join(hotwords)
        room = self._model.max_length // 2 - 1  # get_prompt cuts what is beyond, and says nothing
        if (used := len(tokenizer.encode(f" {text}"))) > room:
            raise InvalidInputError(
                f"The {len(hotwords)} hotwords are {used} tokens for this Whisper model, which "
                f"takes at most {room}. Send fewer."
            )
        prompt: list[int] = self._model.get_prompt(
            tokenizer, [], without_timestamps=True, hotwords=text or None
        )
        return prompt

    def _decode(
        self,
        encoded: Any,  # noqa: ANN401 - a StorageView
        prompts: list[list[int]],
        no_repeat: int = 0,
    ) -> list[list[int]]:
        """Beam search; the tokens of each window, none where nothing is said."""
        results = self._model.model.generate(
            encoded,
            prompts,
            beam_size=BEAM_SIZE,
            max_length=self._model.max_length,
            no_repeat_ngram_size=no_repeat,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        windows = []
        for result in results:
            tokens = result.sequences_ids[0]
            # CTranslate2 divides by the tokens; OpenAI counts the end of the text as one more.
            log_prob = result.scores[0] * len(tokens) / (len(tokens) + 1)
            silent = result.no_speech_prob > NO_SPEECH and log_prob < MIN_LOG_PROB
            windows.append([] if silent or not has_sound(self._text(tokens)) else tokens)
        return windows

    def _text(self, tokens: list[int]) -> str:
        text: str = self._tokenizer("en").decode(tokens)
        return text.strip()

    def _is_loop(self, tokens: list[int]) -> bool:
        from faster_whisper.transcribe import get_compression_ratio

        return bool(get_compression_ratio(self._text(tokens)) > MAX_COMPRESSION)

    def _words(
        self,
        encoded: Any,  # noqa: ANN401 - a StorageView
        tokens: list[list[int]],
        languages: list[str],
        num_frames: list[int],
    ) -> list[tuple[Word, ...]]:
        """Words of each window, by one pass of the decoder for each language in the batch."""
        words: list[tuple[Word, ...]] = [()] * len(tokens)
        for language in dict.fromkeys(languages):
            tokenizer = self._tokenizer(language)
            # What the encoder gave cannot be cut: windows of other languages stay, without a text.
            texts = [
                [t for t in window if t < tokenizer.eot] if own == language else []
                for window, own in zip(tokens, languages, strict=True)
            ]
            for i, pieces in enumerate(
                self._model.find_alignment(tokenizer, texts, encoded, num_frames)
            ):
                if pieces:
                    words[i] = to_words(pieces, num_frames[i] / 100)
        return words

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


def _padded(features: NDArray[np.float32]) -> NDArray[np.float32]:
    # With zeros, which are no silence: so do OpenAI and faster-whisper.
    return np.pad(features, ((0, 0), (0, WINDOW_FRAMES - features.shape[1])))
