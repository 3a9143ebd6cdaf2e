"""TextGrids as praatio reads them."""

import pytest
from praatio import textgrid
from praatio.data_classes.interval_tier import IntervalTier

from tests.documents import document, hostile_document, rendered, timed, untimed
from worker.formats.document import Document
from worker.segments import Turn


def parse_textgrid(text: str, tmp_path) -> textgrid.Textgrid:
    path = tmp_path / "a.TextGrid"
    path.write_text(text, encoding="utf-8")
    # Errors of order and overlap are raised.
    return textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")


def check_tier(tier: IntervalTier, duration: float) -> None:
    """A tier is filled without gaps or overlaps."""
    edges = [(interval.start, interval.end) for interval in tier.entries]
    assert (edges[0][0], edges[-1][1]) == (0, duration)
    assert all(start < end for start, end in edges)
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]


def test_silence_is_one_empty_interval(tmp_path):
    (tier,) = parse_textgrid(rendered("textgrid", document()), tmp_path).tiers
    assert [interval.label for interval in tier.entries] == [""]


def test_textgrid_has_tiers_for_each_speaker(tmp_path):
    of = Document(
        "call",
        10.0,
        [Turn(1.0, 4.0, 0), Turn(3.5, 6.0, 1)],
        [timed('He said "no".', 1.0, 4.0, 0), untimed("Yes.", 4.0, 6.0, 1)],
    )
    grid = parse_textgrid(rendered("textgrid", of), tmp_path)
    assert grid.tierNames == (
        *("SPEAKER_00", "SPEAKER_00 utterances", "SPEAKER_00 words"),
        *("SPEAKER_01", "SPEAKER_01 utterances"),
    )
    for tier in grid.tiers:
        check_tier(tier, 10.0)
    spoken = grid.getTier("SPEAKER_00 words").entries
    assert [i.label for i in spoken if i.label] == ["He", "said", '"no".']
    assert [tuple(i) for i in grid.getTier("SPEAKER_01").entries] == [
        (0, 3.5, ""),
        (3.5, 6.0, "SPEAKER_01"),
        (6.0, 10.0, ""),
    ]


def test_tiers_have_the_names_of_known_voices(tmp_path):
    said = timed("Hi.", 1.0, 2.0, 0)
    of = Document("call", 9.0, [Turn(1.0, 2.0, 0)], [said], {0: 'J. "Jack" K.'})
    text = rendered("textgrid", of)
    assert 'name = "J. ""Jack"" K."\n' in text
    grid = parse_textgrid(text, tmp_path)
    (turns, *_) = grid.tierNames
    assert turns.replace('""', '"') == 'J. "Jack" K.'
    (spoken,) = [i.label for i in grid.getTier(turns).entries if i.label]
    assert spoken == 'J. "Jack" K.'


def test_no_two_tiers_have_one_name(tmp_path):
    names = {0: "Ann", 1: "Ann words", 2: "Ann words 2"}
    said = [timed("Hi.", 1.0 + speaker, 2.0 + speaker, speaker) for speaker in names]
    turns = [Turn(u.start, u.end, speaker) for speaker, u in enumerate(said)]
    grid = parse_textgrid(rendered("textgrid", Document("call", 9.0, turns, said, names)), tmp_path)
    assert grid.tierNames == (
        *("Ann", "Ann utterances", "Ann words"),
        *("Ann words 2", "Ann words utterances", "Ann words words"),
        *("Ann words 2 2", "Ann words 2 utterances", "Ann words 2 words"),
    )


def test_textgrid_without_speakers_has_plain_tiers(tmp_path):
    grid = parse_textgrid(rendered("textgrid", document(timed("one two", 1, 2))), tmp_path)
    assert grid.tierNames == ("utterances", "words")


@pytest.mark.parametrize("speaker", [None, 0])
def test_textgrid_survives_hostile_text(speaker, tmp_path):
    of = hostile_document(speaker)
    grid = parse_textgrid(rendered("textgrid", of), tmp_path)
    for tier in grid.tiers:
        check_tier(tier, grid.maxTimestamp)
    names = [name for name in grid.tierNames if name.endswith("utterances")]
    told = [i.label for name in names for i in grid.getTier(name).entries if i.label]
    said = [" ".join(u.text.split()) for u in of.utterances]
    assert sorted(told) == sorted(text for text in said if text)


def test_textgrid_is_as_long_as_what_is_in_it(tmp_path):
    of = Document("", 0.0, [Turn(1.0, 4.0, 0)], [])
    grid = parse_textgrid(rendered("textgrid", of), tmp_path)
    assert grid.maxTimestamp == 4.0
