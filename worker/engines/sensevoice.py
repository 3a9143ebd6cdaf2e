"""SenseVoiceSmall: waveforms -> text, language, emotion, event and word times.

One encoder and one linear layer give the most probable token of each 60 ms; nothing is decoded
step by step. What FunASR's ``SenseVoiceSmall.inference`` does for a batch is done here without its
second and third softmax over 25,000 tokens and without an alignment frame by frame.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.device import Device
from worker.engines import ctc, precision, sanm
from worker.engines.base import AsrOptions, Recognition, Traits, Waveform, Writes
from worker.engines.frontend import Frontend
from worker.engines.funasr_folder import DAMAGED, FunasrFolder
from worker.engines.funasr_import import funasr_module
from worker.text import join, split

LANGUAGES = ("zh", "en", "yue", "ja", "ko")
EMOTIONS = frozenset({"happy", "sad", "angry", "neutral", "fearful", "disgusted", "surprised"})
EVENTS = frozenset(
    {
        "speech",
        "bgm",
        "applause",
        "laughter",
        "cry",
        "sneeze",
        "breath",
        "cough",
        "sing",
        "speech_noise",
    }
)
TAG = re.compile(r"<\|.*\|>")
"""A token that says something of the sound; any that is in none of the lists means unknown."""

MAX_SEGMENT_S = 20.0
"""FunASR cuts at 30 s; a shorter one leaves a CPU sooner and is understood as well."""
JOIN_S = 1.0
"""What the VAD cut at a short pause is given as one, as FunASR's examples do (``merge_vad``): a
word alone in its segment is heard less well than among others (docs/asr.md)."""
QUERY_FRAMES = 4
"""Put before the sound to ask for language, emotion, event and spelling, in this order."""
EARLY_S = 0.03
"""What FunASR takes off every time, half a frame: the tokens come late."""

HEAD_BYTES = 16 << 20
"""The scores of all tokens exist for so many frames at a time; more of them are no faster."""
HEAD_BYTES_CUDA = 512 << 20


def load(folder: FunasrFolder, device: Device) -> "SenseVoice":
    """Load a model; see `worker.engines.funasr_models.load`."""
    import sentencepiece

    folder.check("encoder", ("SenseVoiceEncoderSmall",))
    path = folder.file("tokenizer_conf.bpemodel")
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise folder.error(f"{path.name} is no SentencePiece model: {error}", DAMAGED) from error
    frontend = folder.frontend()
    network = folder.build(
        funasr_module("models.sense_voice.model").SenseVoiceSmall,
        input_size=frontend.dim,
        vocab_size=pieces.get_piece_size(),
        specaug=None,
    )
    return SenseVoice(precision.place(network, device), pieces, frontend, device)


class SenseVoice:
    """A loaded model; see `worker.engines.base.Recogniser`."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - a SenseVoiceSmall
        pieces: Any,  # noqa: ANN401 - a SentencePieceProcessor
        frontend: Frontend,
        device: Device,
    ) -> None:
        self._network = network
        self._pieces = pieces
        self._frontend = frontend
        self._device = device
        names = ((token, pieces.id_to_piece(token)) for token in range(pieces.get_piece_size()))
        self._tags = {token: name[2:-2].lower() for token, name in names if TAG.fullmatch(name)}
        self._traits = Traits(
            languages=LANGUAGES,
            hotwords=False,
            word_times=True,
            itn=Writes.ON_REQUEST,
            punctuation=Writes.ON_REQUEST,
            max_segment_s=MAX_SEGMENT_S,
            join_s=JOIN_S,
            fixed_s=0.0,
            bytes_per_s=_bytes_per_frame(network, device) / frontend.frame_s,
        )

    @property
    def traits(self) -> Traits:
        return self._traits

    def __call__(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[Recognition]:
        """Recognise a batch; what is shorter than 25 ms holds no word."""
        heard = [waveform for waveform in waveforms if self._frontend.hears(waveform)]
        paths = iter(self._paths(heard, options) if heard else ())
        silent = np.empty(0, dtype=np.int64)
        return [
            self._recognition(
                next(paths) if self._frontend.hears(w) else silent, len(w) / 16_000, options
            )
            for w in waveforms
        ]

    def _paths(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[NDArray[np.int64]]:
        """Find the most probable token of each frame, those of the queries first."""
        import torch

        features, lengths = self._frontend.batch(waveforms)
        lengths = [length + QUERY_FRAMES for length in lengths]
        with torch.inference_mode():
            frames = torch.cat(
                (self._queries(options).expand(len(lengths), -1, -1), self._moved(features)), dim=1
            )
            encoded = sanm.encode(self._network.encoder, frames, lengths)
            # (sum of lengths, dim): no score is computed for padding.
            flat = torch.cat([row[:length] for row, length in zip(encoded, lengths, strict=True)])
            best = self._best_tokens(flat)
        return np.split(best, np.cumsum(lengths)[:-1])

    def _queries(self, options: AsrOptions) -> Any:  # noqa: ANN401 - (1, QUERY_FRAMES, input_dim)
        import torch

        network = self._network
        spelling = network.textnorm_dict["withitn" if options.itn else "woitn"]
        asked = [[network.lid_dict[options.language], 1, 2, spelling]]
        return network.embed(torch.tensor(asked, device=self._device.name)).float()

    def _moved(self, features: NDArray[np.float32]) -> Any:  # noqa: ANN401 - a tensor
        import torch

        tensor = torch.from_numpy(features)
        if self._device.name == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device.name, non_blocking=True)

    def _best_tokens(self, encoded: Any) -> NDArray[np.int64]:  # noqa: ANN401 - (num_frames, dim)
        import torch

        head = self._network.ctc.ctc_lo
        budget = HEAD_BYTES if self._device.name == "cpu" else HEAD_BYTES_CUDA
        block = budget // (self._pieces.get_piece_size() * encoded.element_size())
        best = torch.cat([head(frames).argmax(dim=-1) for frames in encoded.split(block)])
        tokens: NDArray[np.int64] = best.cpu().numpy()
        return tokens

    def _recognition(
        self, path: NDArray[np.int64], duration: float, options: AsrOptions
    ) -> Recognition:
        runs = ctc.runs(path, self._network.blank_id)
        tags = [self._tags[run.token] for run in runs if run.token in self._tags]
        spoken = [run for run in runs if run.token not in self._tags]
        decoded = self._pieces.decode([run.token for run in spoken], return_type="proto")
        words = None
        if options.word_times:
            times = [
                [min(self._seconds(edge), duration) for edge in (run.first, run.last)]
                for run in spoken
            ]
            spans = [
                ctc.Span(piece.begin, piece.end, *time)
                for piece, time in zip(decoded.pieces, times, strict=True)
            ]
            words = ctc.timed_words(decoded.text, spans)
        return Recognition(
            text=join(split(decoded.text)),
            words=words,
            language=(_first(tags, LANGUAGES) if options.language == "auto" else options.language),
            emotion=_first(tags, EMOTIONS),
            event=_first(tags, EVENTS),
        )

    def _seconds(self, frame: int) -> float:
        """Time of the edge before a frame, from the start of the waveform."""
        return max(0.0, (frame - QUERY_FRAMES) * self._frontend.frame_s - EARLY_S)


def _first(tags: Sequence[str], known: Sequence[str] | frozenset[str]) -> str | None:
    return next((tag for tag in tags if tag in known), None)


def _bytes_per_frame(network: Any, device: Device) -> float:  # noqa: ANN401
    """Memory for a frame of padded batch: the widest point of a layer, and the features.

    In float32 and at the published size this is 660 kB for a second; 16 waveforms of 10 s raised
    the process's peak by 480 kB for each second, and by 720 kB in int8.
    """
    first = network.encoder.encoders0[0]
    bytes_each = 2 if device.precision in ("bfloat16", "float16") else 4
    width: float = 8 * first.size + 2 * first.feed_forward.w_1.out_features
    features: float = 4 * 3 * first.in_size
    return bytes_each * width + features
