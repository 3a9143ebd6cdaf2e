from worker import formats
from worker.formats.txt import clock
from worker.segments import Turn

TURNS = [Turn(6.69, 7.12, 0), Turn(3600.5, 3661.0, 11)]


def test_rttm_has_a_line_per_turn():
    assert formats.render(["rttm"], TURNS, "my call")["rttm"] == (
        "SPEAKER my_call 1 6.690 0.430 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER my_call 1 3600.500 60.500 <NA> <NA> SPEAKER_11 <NA> <NA>\n"
    )


def test_txt_reads_well():
    assert formats.render(["txt"], TURNS, "")["txt"] == (
        "00:06.690 - 00:07.120  SPEAKER_00\n1:00:00.500 - 1:01:01.000  SPEAKER_11\n"
    )


def test_json_is_the_reply_itself():
    assert formats.render(["json"], TURNS, "a") == {}


def test_silence_gives_empty_files():
    assert formats.render(["txt", "rttm"], [], "a") == {"txt": "", "rttm": ""}


def test_the_clock_carries():
    assert clock(59.9996) == "01:00.000"
