"""Paths -> tokens -> words; the greedy path is the best alignment of its own tokens."""

import numpy as np
import pytest
import torch

from worker.engines.ctc import Run, Span, runs, timed_words
from worker.engines.funasr_import import funasr_module
from worker.segments import Word


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], []),
        ([0, 0, 0], []),
        ([5], [Run(5, 0, 1)]),
        ([0, 5, 5, 0, 5, 7, 0], [Run(5, 1, 3), Run(5, 4, 5), Run(7, 5, 6)]),
    ],
)
def test_repetitions_are_one_token_and_blanks_none(path, expected):
    assert runs(np.array(path, dtype=np.int64), blank=0) == expected


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_the_alignment_that_funasr_computes(seed):
    align = funasr_module("models.sense_voice.utils.ctc_alignment").ctc_forced_align
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(60, 9, generator=generator)
    scores[:, 0] += 1.0
    log_probs = scores.log_softmax(-1)
    path = log_probs.argmax(-1)
    found = runs(path.numpy(), blank=0)
    # FunASR does this where the blank wins, before it aligns.
    log_probs[path == 0, 0] = 0
    tokens = torch.tensor([[run.token for run in found]])
    aligned = align(log_probs[None], tokens, torch.tensor([60]), torch.tensor([len(found)]))
    assert aligned[0].tolist() == path.tolist()


def test_words_take_the_times_of_their_pieces():
    spans = [Span(0, 3, 0.0, 0.1), Span(3, 5, 0.1, 0.2), Span(5, 9, 0.5, 0.6)]
    assert timed_words("Theyn end", spans) == (Word("Theyn", 0.0, 0.2), Word("end", 0.5, 0.6))


def test_a_mark_belongs_to_the_word_before_it():
    spans = [Span(0, 2, 0.0, 0.1), Span(2, 3, 0.3, 0.4), Span(3, 6, 0.6, 0.7)]
    assert timed_words("Hi, Al", spans) == (Word("Hi,", 0.0, 0.4), Word("Al", 0.6, 0.7))


def test_each_han_character_is_a_word_and_shares_its_piece():
    found = timed_words(
        "我们ok吧", [Span(0, 2, 0.0, 0.2), Span(2, 4, 0.2, 0.3), Span(4, 5, 0.3, 0.4)]
    )
    assert [word.text for word in found] == ["我", "们", "ok", "吧"]
    assert [(word.start, word.end) for word in found] == [
        (0.0, 0.1),
        (0.1, 0.2),
        (0.2, 0.3),
        (0.3, 0.4),
    ]


def test_no_text_has_no_words():
    assert timed_words("", []) == ()
    assert timed_words(" ", [Span(0, 1, 0.0, 0.1)]) == ()
