"""Paraformer and SeACo-Paraformer: waveforms -> text, word times, hotwords; Chinese and English.

The steps are those of FunASR's ``inference`` (funasr 1.4.16, models/{paraformer, bicif_paraformer,
seaco_paraformer}/model.py), for a batch whose padding changes no result: the predictor of tokens
sees zeros behind an item's end, and that of times, an LSTM that also runs backwards, each item
alone.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from worker.device import Device
from worker.engines import precision, seaco_hotwords
from worker.engines.base import AsrOptions, Recognition, Traits, Waveform, Writes
from worker.engines.frontend import Frontend
from worker.engines.funasr_folder import FunasrFolder
from worker.engines.funasr_import import funasr_module
from worker.segments import Word
from worker.text import join

MODULES = {
    "Paraformer": "models.paraformer.model",
    "BiCifParaformer": "models.bicif_paraformer.model",
    "SeacoParaformer": "models.seaco_paraformer.model",
}
PARTS = (
    "models.sanm.encoder",
    "models.paraformer.decoder",
    "models.paraformer.cif_predictor",
    "models.bicif_paraformer.cif_predictor",
)
"""Modules whose classes a config.yaml names."""
PREDICTORS = {
    "Paraformer": ("CifPredictor", "CifPredictorV2"),
    "BiCifParaformer": ("CifPredictorV3",),
    "SeacoParaformer": ("CifPredictor", "CifPredictorV2", "CifPredictorV3"),
}

MAX_SEGMENT_S = 30.0
MAX_HOTWORDS_UNFILTERED = 50
"""Of more, FunASR uses those alone that seem to be said (``nfilter``); its own last one counts."""
SPECIAL = frozenset({"<blank>", "<s>", "</s>", "<unk>", "<OOV>"})


def load(folder: FunasrFolder, device: Device) -> "Paraformer":
    """Load a model; see `worker.engines.funasr_models.load`."""
    model_class = getattr(funasr_module(MODULES[folder.model]), folder.model)
    for part in PARTS:
        funasr_module(part)
    folder.check("encoder", ("SANMEncoder",))
    folder.check("decoder", ("ParaformerSANMDecoder", "ParaformerSANDecoder"))
    folder.check("predictor", PREDICTORS[folder.model])
    tokenizer = folder.tokenizer()
    frontend = folder.frontend()
    cmvn = folder.file("frontend_conf.cmvn_file")
    if folder.model == "SeacoParaformer":
        seaco_hotwords.check(folder, cmvn)
    network = folder.build(
        model_class,
        input_size=frontend.dim,
        vocab_size=len(tokenizer.token_list),
        specaug=None,
    ).float()
    if device.precision == "int8":
        # Not the predictor, which counts the tokens.
        precision.quantise(network.encoder)
        precision.quantise(network.decoder)
    return Paraformer(network.to(device.name), tokenizer, frontend, cmvn, device)


class Paraformer:
    """A loaded model; see `worker.engines.base.Recogniser`.

    Parameters
    ----------
    network : a ``Paraformer`` of FunASR, or a class made from it; its weights are float32, and a
        lower precision is that of its encoder and decoders alone.
    cmvn : SeACo looks for ``seg_dict`` beside it.
    """

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - a torch module
        tokenizer: Any,  # noqa: ANN401 - a CharTokenizer
        frontend: Frontend,
        cmvn: Path,
        device: Device,
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._frontend = frontend
        self._cmvn = cmvn
        self._device = device
        self._predict_times = funasr_module("utils.timestamp_tools").ts_prediction_lfr6_standard
        self._assemble = funasr_module("utils.postprocess_utils").sentence_postprocess
        self._has_times = hasattr(network.predictor, "get_upsample_timestamp")
        latin = any(len(t) > 1 and t.isascii() and t.isalpha() for t in tokenizer.token_list)
        self._traits = Traits(
            languages=("zh", "en") if latin else ("zh",),
            hotwords=hasattr(network, "seaco_decoder"),
            word_times=self._has_times,
            itn=Writes.NEVER,
            punctuation=Writes.NEVER,
            max_segment_s=MAX_SEGMENT_S,
            join_s=None,
            fixed_s=0.0,
            bytes_per_s=_bytes_per_s(network, frontend.frame_s),
        )

    @property
    def traits(self) -> Traits:
        return self._traits

    def __call__(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[Recognition]:
        """Recognise a batch; what is shorter than 25 ms holds no word.

        Raises
        ------
        InvalidInputError
            The model's vocabulary cannot spell a hotword.
        """
        import torch

        heard = [waveform for waveform in waveforms if self._frontend.hears(waveform)]
        with torch.inference_mode():
            found = iter(self._recognise(heard, options) if heard else ())
        language = None if options.language == "auto" else options.language
        silent = Recognition("", () if options.word_times else None, language)
        return [next(found) if self._frontend.hears(w) else silent for w in waveforms]

    def _recognise(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[Recognition]:
        import torch

        hotword_ids = None
        if options.hotwords:
            hotword_ids = seaco_hotwords.spell(
                self._network, self._tokenizer, self._cmvn, options.hotwords
            )
        features, lengths = self._frontend.batch(waveforms)
        ends = torch.tensor(lengths, device=self._device.name)
        with self._lower_precision():
            encoded, _ = self._network.encode(
                torch.from_numpy(features).to(self._device.name), ends
            )
        encoded = encoded.float()
        for row, length in zip(encoded, lengths, strict=True):
            row[length:] = 0.0
        embedded, counts = self._said(encoded, ends)
        best = self._best(encoded, ends, embedded, counts, hotword_ids)
        recognitions = []
        for item, (waveform, length) in enumerate(zip(waveforms, lengths, strict=True)):
            tokens = self._tokens(best[item])
            times = None
            if options.word_times and tokens:
                each = slice(item, item + 1)
                times = self._times(encoded[each, :length], ends[each], counts[each], tokens)
            duration = len(waveform) / 16_000
            recognitions.append(self._recognition(tokens, times, duration, options))
        return recognitions

    def _said(self, encoded: Any, ends: Any) -> tuple[Any, Any]:  # noqa: ANN401 - tensors
        """Find the tokens said: (batch, most tokens, dim), and how many they are: (batch,)."""
        import torch

        if self._has_times:
            embedded, counts, *_ = self._network.calc_predictor(encoded, ends)
            return embedded, counts.round().long()
        # The predictors without times reach behind the batch where its last item has no token
        # (``cif_v1``): each item alone.
        each = [
            self._network.calc_predictor(encoded[i : i + 1, :end], ends[i : i + 1])
            for i, end in enumerate(ends.tolist())
        ]
        embedded = torch.nn.utils.rnn.pad_sequence(
            [found[0][0] for found in each], batch_first=True
        )
        return embedded, torch.cat([found[1] for found in each]).round().long()

    def _best(
        self,
        encoded: Any,  # noqa: ANN401 - tensors
        ends: Any,  # noqa: ANN401
        embedded: Any,  # noqa: ANN401
        counts: Any,  # noqa: ANN401
        hotword_ids: list[list[int]] | None,
    ) -> list[list[int]]:
        """Find the most probable token of the vocabulary for each token said, of each item."""
        if counts.max() < 1:
            return [[] for _ in counts]
        network = self._network
        if hotword_ids and len(hotword_ids) > MAX_HOTWORDS_UNFILTERED and len(counts) > 1:
            # FunASR would use those alone that the first item seems to hold.
            rows = (slice(i, i + 1) for i in range(len(counts)))
            return [
                self._best(
                    encoded[row, :end], ends[row], embedded[row, :count], counts[row], hotword_ids
                )[0]
                for row, end, count in zip(rows, ends.tolist(), counts.tolist(), strict=True)
            ]
        with self._lower_precision():
            if self._traits.hotwords:
                scores = network._seaco_decode_with_ASF(  # noqa: SLF001 - no public way to batches
                    encoded, ends, embedded, counts, hw_list=hotword_ids
                )
            else:
                scores = network.cal_decoder_with_predictor(encoded, ends, embedded, counts)[0]
        # (batch, most tokens)
        best = scores.argmax(dim=-1).tolist()
        return [ids[:count] for ids, count in zip(best, counts.tolist(), strict=True)]

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        network = self._network
        special = {network.blank_id, network.sos, network.eos}
        tokens: list[str] = self._tokenizer.ids2tokens([i for i in ids if i not in special])
        return tokens

    def _times(
        self,
        encoded: Any,  # noqa: ANN401 - tensors of one item
        end: Any,  # noqa: ANN401
        count: Any,  # noqa: ANN401
        tokens: Sequence[str],
    ) -> list[list[int]] | None:
        """Find when each token was said, in ms; None where FunASR's times do not fit them."""
        _, _, alphas, peaks = self._network.calc_predictor_timestamp(encoded, end, count)
        _, times = self._predict_times(alphas[0], peaks[0], list(tokens))
        return times if len(times) == len(tokens) else None

    def _recognition(
        self,
        tokens: Sequence[str],
        times: list[list[int]] | None,
        duration: float,
        options: AsrOptions,
    ) -> Recognition:
        """Put tokens together to words, as FunASR does, but none before or behind the sound."""
        language = None if options.language == "auto" else options.language
        if times is None:
            _, texts = self._assemble(list(tokens))
            untimed = () if options.word_times and not texts else None
            return Recognition(join(texts), untimed, language)
        # It would leave special tokens out and keep their times.
        kept = [(t, time) for t, time in zip(tokens, times, strict=True) if t not in SPECIAL]
        _, spans, texts = self._assemble([token for token, _ in kept], [time for _, time in kept])
        within = [[min(max(ms / 1000, 0.0), duration) for ms in span] for span in spans]
        words = tuple(Word(text, *span) for text, span in zip(texts, within, strict=False))
        return Recognition(join(texts), words if len(spans) == len(texts) else None, language)

    @contextlib.contextmanager
    def _lower_precision(self) -> Iterator[None]:
        import torch

        if self._device.precision not in ("bfloat16", "float16"):
            yield
            return
        kind = self._device.name.partition(":")[0]
        with torch.autocast(kind, getattr(torch, self._device.precision)):
            yield


def _bytes_per_s(network: Any, frame_s: float) -> float:  # noqa: ANN401
    """Memory for a second of padded batch in float32.

    FunASR's attention holds the scores of each frame with each other one three times (before and
    after the mask, as weights); a second has about six tokens, scored twice against all.
    """
    first = network.encoder.encoders0[0]
    frames = 1 / frame_s
    scores: float = 3 * first.self_attn.h * MAX_SEGMENT_S * frames
    layers: float = 8 * first.size + 2 * first.feed_forward.w_1.out_features
    vocabulary: float = 2 * 6 * network.vocab_size
    return 4 * (frames * (scores + layers) + vocabulary)
