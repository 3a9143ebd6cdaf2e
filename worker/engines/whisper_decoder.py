"""Whisper's decoder: what the encoder gave -> tokens -> text and words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.whisper_words import has_sound, to_words
from worker.errors import InvalidInputError
from worker.segments import Word

BEAM_SIZE = 5

NO_SPEECH = 0.6
MIN_LOG_PROB = -1.0
"""A window is silent where both say so: OpenAI's rule and values (whisper/transcribe.py), with the
mean over the tokens written. OpenAI counts the end of the text as one more, which makes the single
doubtful word that tiny.en writes for noise, ``you``, look sure."""
MAX_COMPRESSION = 2.4
"""Text that deflate makes this many times smaller is a loop: OpenAI's value."""
LOOP_TOKENS = 3
"""A loop is decoded again, with no run of so many tokens twice in it."""


class Decoder:
    """The decoder of a loaded model, and its tokenizers: one for each language.

    OpenAI's rules for silence and for loops are kept without its random sampling, so that the same
    sound always gives the same text: a loop is decoded once more by the same beam search, which may
    then not repeat itself. Where there are hotwords, a loop or a text of marks is first decoded
    without them. A low probability alone changes nothing.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a WhisperModel
        from faster_whisper.transcribe import get_suppressed_tokens

        self._model = model
        self._suppressed = list(get_suppressed_tokens(self._tokenizer("en"), [-1]))

    def _tokenizer(self, language: str) -> Any:  # noqa: ANN401 - a Tokenizer
        from faster_whisper.tokenizer import Tokenizer

        multilingual = self._model.model.is_multilingual
        return Tokenizer(self._model.hf_tokenizer, multilingual, "transcribe", language)

    def __call__(
        self,
        windows: NDArray[np.float32],
        encoded: Any,  # noqa: ANN401 - a StorageView
        languages: Sequence[str],
        hotwords: Sequence[str],
    ) -> list[list[int]]:
        """Return the tokens of each window, none where nothing is said.

        Parameters
        ----------
        windows : (batch, num_mels, 3000), what `encoded` was made of.
        languages : of each window.

        Raises
        ------
        InvalidInputError
            A hotword is none, or they are more than the model takes.
        """
        tokens = self._search(encoded, [self._prompt(each, hotwords) for each in languages])

        def again(failed: list[int], no_repeat: int) -> None:
            if failed:
                # Encoded again, because what the encoder gave cannot be cut.
                encoded = self._model.encode(windows[failed])
                prompts = [self._prompt(languages[i], ()) for i in failed]
                found = self._search(encoded, prompts, no_repeat)
                for i, window in zip(failed, found, strict=True):
                    tokens[i] = window

        if hotwords:  # which may be what is repeated, or why nothing else is written
            doubtful = [i for i, t in enumerate(tokens) if self.is_loop(t) or self._is_mute(t)]
            again(doubtful, no_repeat=0)
        again([i for i, t in enumerate(tokens) if self.is_loop(t)], LOOP_TOKENS)
        return [[] if self._is_mute(window) else window for window in tokens]

    def _prompt(self, language: str, hotwords: Sequence[str]) -> list[int]:
        """Return the tokens that a text in a language starts from."""
        tokenizer = self._tokenizer(language)
        for hotword in hotwords:
            is_control = any(token >= tokenizer.eot for token in tokenizer.encode(hotword))
            if is_control or not has_sound(hotword):
                raise InvalidInputError(
                    f"{hotword!r} is no hotword: Whisper takes words with a letter or a digit, "
                    "and none of its own control tokens. Leave it out."
                )
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

    def _search(
        self,
        encoded: Any,  # noqa: ANN401 - a StorageView
        prompts: list[list[int]],
        no_repeat: int = 0,
    ) -> list[list[int]]:
        """Beam search; the tokens of each window, none where it is silent."""
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
            silent = result.no_speech_prob > NO_SPEECH and result.scores[0] < MIN_LOG_PROB
            windows.append([] if silent else result.sequences_ids[0])
        return windows

    def _is_mute(self, tokens: list[int]) -> bool:
        return not has_sound(self.text(tokens))

    def text(self, tokens: list[int]) -> str:
        """Return the text of a window, whatever its language."""
        text: str = self._tokenizer("en").decode(tokens)
        return text.strip()

    def is_loop(self, tokens: list[int]) -> bool:
        """Whether a text only says the same again and again."""
        from faster_whisper.transcribe import get_compression_ratio

        return bool(get_compression_ratio(self.text(tokens)) > MAX_COMPRESSION)

    def words(
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
