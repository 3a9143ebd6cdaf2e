"""CT-Transformer (ct-punc): words without punctuation -> the same words with it.

A text is read 20 tokens at a time, each time with what follows the last sentence end found before,
as FunASR's ``CTTransformer.inference`` does (funasr 1.4.16, models/ct_transformer/model.py). Words
keep their letters: a sentence's first one is not made a capital.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from worker.device import Device
from worker.engines.funasr_folder import FunasrFolder
from worker.engines.funasr_import import funasr_module

PIECE_TOKENS = 20
LONGEST_SENTENCE = 200
"""Tokens without a sentence end after which one is made of the last comma."""
NONE, COMMA = "_", "，"
SENTENCE_ENDS = frozenset("。？")
ASCII_MARKS = {"，": ",", "。": ".", "？": "?"}


def load(folder: FunasrFolder, device: Device) -> "CtPunctuator":
    """Load a model; see `worker.engines.funasr_models.load_punctuation`."""
    model_class = funasr_module("models.ct_transformer.model").CTTransformer
    funasr_module("models.sanm.encoder")
    folder.check("encoder", ("SANMEncoder",))
    tokenizer = folder.tokenizer()
    dictionary = folder.find("jieba_usr_dict")
    network = folder.build(
        model_class,
        vocab_size=len(tokenizer.token_list),
        jieba_usr_dict=None if dictionary is None else str(dictionary),
    )
    return CtPunctuator(network.float().to(device.name), tokenizer, device)


class CtPunctuator:
    """A loaded model; see `worker.engines.base.Punctuator`."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - a CTTransformer
        tokenizer: Any,  # noqa: ANN401 - a CharTokenizer
        device: Device,
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._device = device
        self._split_words = funasr_module("models.ct_transformer.utils").split_words

    def __call__(self, words: Sequence[str]) -> list[str]:
        """Punctuate words; a mark that falls inside one of them is left out."""
        tokens = self._split(" ".join(words))
        if not tokens:
            return list(words)
        marks = self._marks(self._tokenizer.tokens2ids(tokens))
        # By the number of letters before it: the tokens are the words' letters, cut otherwise.
        after = {
            end: ASCII_MARKS.get(mark, mark) if token[0].isascii() else mark
            for end, token, mark in zip(_ends(tokens), tokens, marks, strict=True)
            if mark != NONE
        }
        return [
            word + after.get(end, "") if word.strip() else word
            for end, word in zip(_ends(words), words, strict=True)
        ]

    def _split(self, text: str) -> list[str]:
        """Cut a text as the model was trained: Han by jieba's dictionary or one by one."""
        tokens: list[str] = self._split_words(text, jieba_usr_dict=self._network.jieba_usr_dict)
        return [token for token in tokens if token.strip()]

    def _marks(self, ids: Sequence[int]) -> list[str]:
        """Find the mark after each token; the last one ends a sentence."""
        names = self._network.punc_list
        end_mark = names[self._network.sentence_end_id]
        marks: list[str] = []
        for start in range(0, len(ids), PIECE_TOKENS):
            stop = min(start + PIECE_TOKENS, len(ids))
            # What has no mark yet is read again.
            found = [names[index] for index in self._best(ids[len(marks) : stop])]
            if stop < len(ids):
                keep = _last(found, SENTENCE_ENDS)
                if keep == 0 and len(found) > LONGEST_SENTENCE:
                    keep = _last(found, frozenset(COMMA))
                    found[keep - 1 : keep] = [end_mark] if keep else []
                found = found[:keep]
            marks += found
        if marks[-1] not in SENTENCE_ENDS:
            marks[-1] = end_mark
        return marks

    def _best(self, ids: Sequence[int]) -> list[int]:
        import torch

        with torch.inference_mode():
            text = torch.tensor([ids], device=self._device.name)
            length = torch.tensor([len(ids)], device=self._device.name)
            scores, _ = self._network.punc_forward(text, length)
            best: list[int] = scores[0].argmax(dim=-1).tolist()
        return best


def _last(marks: Sequence[str], wanted: frozenset[str]) -> int:
    """Count the marks up to the last wanted one; 0 without one.

    Neither the first two nor the last one count: the model has seen too little around them.
    """
    return next((i + 1 for i in range(len(marks) - 2, 1, -1) if marks[i] in wanted), 0)


def _ends(texts: Sequence[str]) -> Iterator[int]:
    """Count the letters up to the end of each text, without white space."""
    return itertools.accumulate(len("".join(text.split())) for text in texts)
