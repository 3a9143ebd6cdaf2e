"""What formats have in common, plain text and RTTM."""

import pytest

from tests.documents import document, rendered, timed, untimed
from worker import formats
from worker.formats.document import Document
from worker.segments import Turn, Utterance

TURNS = [Turn(6.69, 7.12, 0), Turn(3600.5, 3661.0, 11)]


def test_rttm_has_a_line_per_turn():
    assert rendered("rttm", Document("my call", 9.0, TURNS, [])) == (
        "SPEAKER my_call 1 6.690 0.430 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER my_call 1 3600.500 60.500 <NA> <NA> SPEAKER_11 <NA> <NA>\n"
    )


def test_txt_of_turns_reads_well():
    assert rendered("txt", Document("", 9.0, TURNS, [])) == (
        "00:06.690 - 00:07.120  SPEAKER_00\n1:00:00.500 - 1:01:01.000  SPEAKER_11\n"
    )


def test_txt_of_utterances_has_what_was_said():
    of = document(timed("Hello?", 59.9996, 61.0, 0), untimed("Two\nlines", 62.0, 63.0), turns=TURNS)
    assert rendered("txt", of) == (
        "01:00.000 - 01:01.000  SPEAKER_00  Hello?\n01:02.000 - 01:03.000  Two lines\n"
    )


def test_names_stand_for_speakers_who_are_known():
    of = Document("call", 9.0, TURNS, [], {0: "Ann Lee"})
    rttm = rendered("rttm", of).splitlines()
    assert [line.split()[7] for line in rttm] == ["Ann_Lee", "SPEAKER_11"]
    assert {len(line.split()) for line in rttm} == {10}
    assert rendered("txt", of).splitlines()[0] == "00:06.690 - 00:07.120  Ann Lee"


def test_json_is_the_reply_itself():
    assert formats.render(["json"], document()) == {}


@pytest.mark.parametrize("task", formats.FORMATS_OF_TASK)
def test_every_format_of_a_task_is_written(task):
    names = formats.FORMATS_OF_TASK[task]
    assert [*formats.render(names, document())] == [
        name for name in names if name not in ("json", "html")
    ]


def test_formats_may_be_written_one_at_a_time():
    names = formats.FORMATS_OF_TASK["transcript"]
    of = document(timed("Hello?", 1.0, 2.0, 0), turns=TURNS)
    one_by_one = [formats.render([name], of) for name in names]
    assert {name: text for files in one_by_one for name, text in files.items()} == (
        formats.render(names, of)
    )


@pytest.mark.parametrize("turns", [[], TURNS])
def test_a_segment_that_failed_leaves_no_trace_in_files(turns):
    names = formats.FORMATS_OF_TASK["transcript"]
    failed = Utterance(3.0, 4.0, "", None, 2, flaw="the model failed")
    said = timed("Hello?", 1.0, 2.0, 0)
    for utterances in ([said], []):
        without = Document("a call", 60.0, turns, utterances)
        with_it = Document("a call", 60.0, turns, [*utterances, failed])
        assert formats.render(names, with_it) == formats.render(names, without)
