"""Reports in a real browser: click, play, follow, rename, export, search; nothing is asked for."""

import json
import re
import socket
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import reports
from tests.browser import browser, find, opened, wait
from tests.conftest import DATA
from tests.service_jobs import SAMPLE
from worker import formats
from worker.control import JobControl
from worker.parts import serialise
from worker.report import page as report
from worker.report import speech
from worker.report.speech import Sound

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def running():
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def reply(service) -> dict:
    """What the worker answers for the sample conversation."""
    wanted = ["json", "txt", "srt", "rttm", "html"]
    answered = service.answer({"audio": SAMPLE, "formats": wanted})
    assert "files" in answered, answered
    return answered


@pytest.fixture
def sample(reply, tmp_path) -> Path:
    """The report of the sample conversation, as a file."""
    path = tmp_path / "report.html"
    path.write_text(reply["files"]["html"], encoding="utf-8")
    return path


@pytest.fixture
def written(tmp_path):
    """Make a file of a result; without sound unless it is given."""

    def write(result: dict, sound: Sound | None = None) -> Path:
        path = tmp_path / "made.html"
        document = reports.document(result)
        path.write_text(report.render(result, document, sound), encoding="utf-8")
        return path

    return write


def saved(page: Page, kind: str) -> tuple[str, bytes]:
    """Name and content of what a button of "Save as" gives."""
    with page.expect_download() as download:
        page.get_by_role("button", name=kind.upper(), exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def position(page: Page) -> float:
    return page.evaluate("audio.currentTime")


def rename(page: Page, before: str, after: str, key: str = "Enter") -> None:
    page.locator("#names").get_by_role("button", name=before, exact=True).click()
    page.get_by_label(f"New name of {before}").fill(after)
    page.keyboard.press(key)


# --- sound ---


def test_it_tells_what_the_recording_is(running, sample):
    with opened(running, sample) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("sample")
        expect(page.locator("#facts")).to_have_text("0:30 · 2 speakers · English · 13 utterances")
        expect(page).to_have_title("sample – who spoke when")
        expect(page.locator("#names li")).to_have_count(2)
        expect(page.locator("#missing")).to_be_hidden()
        assert page.evaluate("peaks.length") == 1500
        assert page.evaluate("Math.max(...peaks)") == 1
        # Drawn, in the shadow tree of the library and in the lanes: not one colour alone.
        for canvas in ("wave.getWrapper().querySelector('canvas')", "$('lanes')"):
            drawn = page.evaluate(
                "(c) => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, "
                "c.height).data.buffer)).size",
                page.evaluate_handle(canvas),
            )
            assert drawn > 2


def test_it_plays_and_the_words_light_up(running, sample):
    with opened(running, sample) as page:
        first = page.locator(".w").first
        first.click()
        assert position(page) == pytest.approx(6.73, abs=0.01)
        expect(first).to_have_class(re.compile("now"))
        page.get_by_role("button", name="Play").click()
        wait(page, "audio.currentTime > 9 && !audio.paused")
        expect(first).not_to_have_class(re.compile("now"))
        page.get_by_role("button", name="Pause").click()
        wait(page, "audio.paused")
        heard = position(page)
        expect(page.locator("#position")).to_have_text(f"0:{int(heard):02d}")
        shown = page.evaluate("rows.findIndex((r) => r.node.getAttribute('aria-current'))")
        assert shown == page.evaluate("lastBefore(rows, audio.currentTime)")
        assert page.locator("li.now").count() == 1


def test_what_is_heard_is_the_recording(running, sample):
    """Decoded by the browser: loud where the peaks are loud."""
    with opened(running, sample) as page:
        likeness = page.evaluate(
            """async () => {
              const context = new OfflineAudioContext(1, 16000, 16000);
              const bytes = await new Promise((resolve) => {
                const reader = new FileReader();
                reader.onload = () => resolve(reader.result);
                reader.readAsArrayBuffer(window.heard);
              });
              const samples = (await context.decodeAudioData(bytes)).getChannelData(0);
              const loud = [...peaks].map((_, i) =>
                Math.max(...samples.slice(i * 320, i * 320 + 320).map(Math.abs)));
              const mean = (l) => l.reduce((a, b) => a + b) / l.length;
              const [a, b] = [mean(loud), mean([...peaks])];
              let [both, own, other] = [0, 0, 0];
              loud.forEach((v, i) => {
                both += (v - a) * (peaks[i] - b); own += (v - a) ** 2; other += (peaks[i] - b) ** 2;
              });
              return both / Math.sqrt(own * other);
            }""".replace(
                "window.heard", f"blobOf({json.dumps(heard_by(sample))}, '{speech.MEDIA_TYPE}')"
            )
        )
        assert likeness > 0.95


def heard_by(path: Path) -> str:
    return path.read_text().partition(report.SPEECH_OPENS)[2].partition("</script>")[0]


def test_a_lane_a_time_and_the_waveform_seek(running, sample):
    with opened(running, sample) as page:
        box = page.locator("#lanes").bounding_box()
        page.locator("#lanes").click(position={"x": box["width"] / 2, "y": 30})
        assert position(page) == pytest.approx(15.0, abs=0.1)
        page.get_by_role("button", name="Go to 0:21").click()
        assert position(page) == pytest.approx(21.91, abs=0.01)
        page.locator("#wave").click(position={"x": box["width"] / 4, "y": 30})
        assert position(page) == pytest.approx(7.5, abs=0.1)
        page.locator("#lanes").hover(position={"x": box["width"] / 2, "y": 10})
        expect(page.locator("#lanes")).to_have_attribute("title", "SPEAKER_00, 0:15")


def test_of_places_that_are_sought_in_haste_the_last_counts(running, sample):
    with opened(running, sample) as page:
        page.evaluate("for (const time of [3, 20, 6.73]) seek(time)")
        wait(page, "!audio.seeking")
        assert position(page) == pytest.approx(6.73)
        expect(page.locator("#position")).to_have_text("0:06")


def test_the_speed_is_that_which_is_chosen(running, sample):
    with opened(running, sample) as page:
        page.get_by_label("Speed").select_option("1.5")
        assert page.evaluate("audio.playbackRate") == 1.5


def test_zoomed_in_the_lanes_and_the_waveform_show_the_same_stretch(running, sample):
    with opened(running, sample) as page:
        page.get_by_label("Zoom").fill("100")
        wait(page, "wave.getWrapper().clientWidth > 5000")
        page.evaluate("wave.setScrollTime(20)")
        wait(page, "wave.getScroll() > 3900")
        page.locator("#lanes").click(position={"x": 100, "y": 10})
        assert position(page) == pytest.approx(20.5, abs=0.1)


# --- following ---


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_transcript_follows_and_lets_a_reader_go(running, written, motion):
    said = [reports.segment(f"Line number {i}.", i * 2.0, "SPEAKER_00") for i in range(200)]
    path = written(reports.transcript(said, 400.0))
    with opened(running, path, reduced_motion=motion) as page:
        row = page.locator("#transcript li").nth(150)
        expect(row).not_to_be_in_viewport()
        page.evaluate("seek(300.1)")
        expect(row).to_be_in_viewport(ratio=1)
        below = page.evaluate("$('player').getBoundingClientRect().bottom")
        wait(page, f"rows[150].node.getBoundingClientRect().top >= {below}")
        expect(page.locator("#follow")).to_be_hidden()
        page.mouse.move(600, 700)
        page.mouse.wheel(0, -3000)
        expect(row).not_to_be_in_viewport()
        # What is heard goes on elsewhere, and the page stays.
        page.evaluate("state.position = 305; wave.setTime(305); update()")
        expect(page.locator("li.now")).not_to_be_in_viewport()
        page.get_by_role("button", name="Follow the playback").click()
        expect(page.locator("li.now")).to_be_in_viewport()
        expect(page.locator("#follow")).to_be_hidden()


# --- names and files ---


def test_files_are_those_of_the_worker(running, sample, reply):
    with opened(running, sample) as page:
        for kind in ("srt", "rttm", "txt"):
            assert saved(page, kind) == (f"sample.{kind}", reply["files"][kind].encode()), kind
        whole = {key: value for key, value in reply.items() if key != "files"}
        assert saved(page, "json") == ("sample.json", serialise(whole))


@pytest.mark.parametrize("make", [reports.scripts, reports.hostile])
def test_files_are_those_of_the_worker_whatever_is_in_them(running, written, make):
    result = make()
    of = reports.document(result)
    with opened(running, written(result)) as page:
        for kind, text in formats.render(["srt", "rttm", "txt"], of).items():
            assert saved(page, kind)[1].decode() == text, kind
        assert saved(page, "json")[1] == serialise(result)


def test_a_renamed_speaker_has_the_name_in_every_file(running, sample, reply):
    with opened(running, sample) as page:
        rename(page, "SPEAKER_00", "  Sheila\u00a0 O'Neil ")
        expect(page.get_by_role("status").last).to_have_text(
            "SPEAKER_00 is called Sheila O'Neil now."
        )
        expect(page.locator("#transcript .who", has_text="Sheila O'Neil")).to_have_count(4)
        rttm = reply["files"]["rttm"].replace("SPEAKER_00", "Sheila_O'Neil").encode()
        assert saved(page, "rttm")[1] == rttm
        srt = reply["files"]["srt"].replace("SPEAKER_00:", "Sheila O'Neil:")
        # The name has its place in the line, or a line of its own.
        told = saved(page, "srt")[1].decode()
        assert told.replace("\n", " ") == srt.replace("\n", " ")
        assert "SPEAKER_00" not in told
        assert max(map(len, told.splitlines())) <= 42
        assert saved(page, "txt")[1].decode() == reply["files"]["txt"].replace(
            "SPEAKER_00", "Sheila O'Neil"
        )
        corrected = json.loads(saved(page, "json")[1])
    names = {entry["speaker"]: entry.get("name") for entry in corrected["turns"]}
    assert names == {"SPEAKER_00": "Sheila O'Neil", "SPEAKER_01": None}
    for segment in corrected["segments"]:
        for entry in (segment, *segment["words"]):
            assert (entry.get("name") == "Sheila O'Neil") == (entry["speaker"] == "SPEAKER_00")
    assert [s["name"] for s in corrected["speakers"]] == ["Sheila O'Neil", None]
    assert corrected["text"] == reply["text"]


def test_names_can_be_left_taken_back_and_shared(running, written):
    with opened(running, written(reports.scripts())) as page:
        rename(page, "Ann Lee", "Nobody", "Escape")
        expect(page.locator("#names")).to_contain_text("Ann Lee")
        # A correct name takes the score of the wrong one away.
        rename(page, "Ann Lee", "SPEAKER_01")
        expect(page.get_by_role("status").last).to_have_text(
            "Ann Lee is called SPEAKER_01 now. SPEAKER_01 has the same name; they stay apart."
        )
        first = json.loads(saved(page, "json")[1])["speakers"][0]
        assert first["name"] == "SPEAKER_01"
        assert "score" not in first
        page.evaluate("rename('SPEAKER_00', ' ')")
        expect(page.locator("#names .who").first).to_have_text("Ann Lee")
        assert saved(page, "json")[1] == serialise(reports.scripts())
        # In the transcript, too, and with what names may have.
        page.locator("#transcript .who").nth(1).click()
        page.keyboard.insert_text("</script><b>张</b>" + "x" * 200)
        page.keyboard.press("Enter")
        expect(page.locator("#names .who").nth(1)).to_have_text("</script><b>张</b>" + "x" * 83)
        assert page.locator("#names b").count() == 0
        # Nobody is nobody's to name.
        expect(page.get_by_role("button", name="Unknown speaker")).to_be_disabled()


def test_a_long_name_does_not_make_a_line_too_long(running, sample):
    with opened(running, sample) as page:
        rename(page, "SPEAKER_01", "A name that is much longer than a line of subtitles is")
        lines = saved(page, "srt")[1].decode().splitlines()
        assert "A name that is much longer than a line o…:" in lines
        assert max(map(len, lines)) <= 42


# --- search ---


def test_search_counts_and_goes_round(running, sample):
    with opened(running, sample) as page:
        page.keyboard.press("/")
        page.keyboard.type("chicago")
        expect(page.locator("#count")).to_have_text("1 of 2")
        expect(page.locator("li.hit")).to_contain_text("And I'm Sheila")
        assert page.evaluate("CSS.highlights.get('hit').size") == 2
        assert page.evaluate("[...CSS.highlights.get('here')].map(String)") == ["Chicago"]
        page.keyboard.press("Enter")
        expect(page.locator("#count")).to_have_text("2 of 2")
        expect(page.locator("li.hit")).to_contain_text("Oh, I'm originally")
        page.get_by_role("button", name="Next hit").click()
        expect(page.locator("#count")).to_have_text("1 of 2")
        page.get_by_role("button", name="Previous hit").click()
        expect(page.locator("#count")).to_have_text("2 of 2")
        page.get_by_role("searchbox").fill("I'm   ORIGINALLY from")
        expect(page.locator("#count")).to_have_text("1 of 1")
        assert page.evaluate("[...CSS.highlights.get('here')].map(String)") == [
            "I'm originally from"
        ]
        for nothing in ("(", "[a-", "\\", "zebra", "a.b*"):
            page.get_by_role("searchbox").fill(nothing)
            expect(page.locator("#count")).to_have_text("none")
        page.keyboard.press("Escape")
        expect(page.locator("#count")).to_be_empty()
        expect(page.get_by_role("button", name="Next hit")).to_be_disabled()


# --- what must not happen ---


def test_markup_stays_text(running, written):
    with opened(running, written(reports.hostile())) as page:
        assert page.evaluate("window.owned") is None
        assert page.locator("img").count() == 0
        shown = reports.HOSTILE
        expect(page.locator("#transcript p").first).to_have_text(f"one {shown} two")
        assert page.locator("h1").text_content() == shown
        assert page.locator("#names .who").first.text_content() == shown.replace("\u2028", " ")
        assert page.locator(".flaw").text_content() == shown
        assert page.locator("#notes li").text_content() == shown
        name, _ = saved(page, "srt")
        assert re.fullmatch(r"[\w.-]+\.srt", name)


def test_the_policy_stops_what_a_page_should_not_do(running, sample):
    """The test's own page logs errors on purpose, so it is not opened as the others are."""
    page = running.new_page()
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    page.goto(sample.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.evaluate(
        """(port) => new Promise((resolve) => {
          const seen = [];
          document.addEventListener("securitypolicyviolation", (e) => {
            seen.push(e.effectiveDirective);
            if (seen.length === 3) resolve();
          });
          document.body.insertAdjacentHTML("beforeend",
            `<img src="http://127.0.0.1:${port}/x.png"><p onclick="window.owned = 1">`);
          document.body.lastElementChild.click();
          const script = document.createElement("script");
          script.textContent = "window.owned = 1";
          document.body.append(script);
        })""",
        server.getsockname()[1],
    )
    assert page.evaluate("window.owned") is None
    with server, pytest.raises(BlockingIOError):
        server.accept()
    page.close()


# --- audio that is not in the page ---


def test_a_page_without_audio_asks_for_the_file_and_plays_it(running, sample, tmp_path):
    path = tmp_path / "without.html"
    path.write_text(report.without_speech(sample.read_text()))
    with opened(running, path) as page:
        chooser = page.get_by_label("The audio is not in this page")
        expect(chooser).to_be_visible()
        page.get_by_role("button", name="Play").click()
        expect(chooser).to_be_focused()
        page.get_by_role("button", name="Go to 0:14").click()
        expect(page.locator("li.now")).to_contain_text("And I'm Sheila")
        chooser.set_input_files(DATA / "sample.wav")
        expect(page.locator("#missing")).to_be_hidden()
        wait(page, "Math.abs(audio.currentTime - 14.39) < 0.01")
        page.get_by_role("button", name="Play").click()
        wait(page, "audio.currentTime > 15")
        expect(page.locator("#doubt")).to_be_hidden()


def test_a_file_of_another_length_is_doubted_and_no_audio_is_refused(running, written, tmp_path):
    (tmp_path / "notes.wav").write_text("no audio")
    said = [reports.segment("Hello there.", 1.0, "SPEAKER_00")]
    with opened(running, written(reports.transcript(said))) as page:
        chooser = page.get_by_label("The audio is not in this page")
        chooser.set_input_files(DATA / "sample.wav")
        expect(page.get_by_role("alert")).to_have_text(
            "sample.wav lasts 0:30, this recording 1:00: is it the right file?"
        )
        page.evaluate("$('missing').hidden = false")
        chooser.set_input_files(tmp_path / "notes.wav")
        expect(page.get_by_role("status").last).to_contain_text("cannot play")
        expect(chooser).to_be_visible()


# --- keys, colours, widths ---


def test_the_keyboard_is_enough(running, sample):
    with opened(running, sample) as page:
        page.keyboard.press("ArrowRight")
        assert position(page) == 5
        page.keyboard.press("Shift+ArrowRight")
        assert position(page) == pytest.approx(6.73)
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowLeft")
        assert position(page) == pytest.approx(6.73)
        page.keyboard.press("ArrowLeft")
        assert position(page) == pytest.approx(1.73)
        page.keyboard.press(" ")
        wait(page, "!audio.paused && audio.currentTime > 2")
        page.keyboard.press(" ")
        wait(page, "audio.paused")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        # In the search, keys are letters.
        page.keyboard.press("/")
        page.keyboard.type("? f")
        expect(page.get_by_role("searchbox")).to_have_value("? f")
        assert page.evaluate("audio.paused")
        expect(page.get_by_role("dialog")).to_be_hidden()
        # A name, found with the tabulator alone.
        page.locator("#play").focus()
        page.keyboard.press("Tab")
        expect(page.locator("#names .who").first).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.type("Sheila")
        page.keyboard.press("Enter")
        expect(page.locator("#names .who").first).to_be_focused()
        expect(page.locator("#names .who").first).to_have_text("Sheila")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def luminance(colour: str) -> float:
    red, green, blue = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_light_and_dark(running, sample):
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    ink = "getComputedStyle(document.body).color"
    for scheme, is_dark in (("dark", True), ("light", False)):
        with opened(running, sample, color_scheme=scheme) as page:
            for now in (is_dark, not is_dark):
                paper, text = (luminance(page.evaluate(c)) for c in (ground, ink))
                assert (paper < 0.1) == now
                assert (text > 0.8) == now
                page.get_by_role("button", name="Light or dark").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_speakers_have_colours_of_their_own(running, written, scheme):
    said = [reports.segment("Hello", float(i), f"SPEAKER_{i:02d}") for i in range(8)]
    result = reports.transcript(said)
    with opened(running, written(result), color_scheme=scheme) as page:
        found = page.evaluate("lanes.map((id) => colour(hue(id)))")
        ground = luminance(page.evaluate("colour('var(--card)')"))
        assert len(set(found)) == 8
        # 3 to 1, as WCAG asks of what is no text; for a bright sky blue a little less.
        for each in found:
            assert abs(luminance(each) - ground) > 0.3


@pytest.mark.parametrize("make", [reports.scripts, reports.hostile, None])
def test_a_phone_needs_no_scrolling_sideways(running, sample, written, make):
    path = written(make()) if make else sample
    with opened(running, path, **PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        for name in ("#play", "#names .who", ".time", "#exports button"):
            box = page.locator(name).first.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
        wait(page, "rows[0].text.getBoundingClientRect().width > 300")


# --- results of other kinds ---


def test_turns_alone_are_listed(running, written):
    result = reports.scripts() | {"task": "diarization"}
    for name in ("segments", "text", "language"):
        del result[name]
    with opened(running, written(result)) as page:
        expect(page.locator("#transcript li")).to_have_count(5)
        expect(page.locator("#facts")).to_have_text("1:00 · 3 speakers · 5 turns")
        expect(page.locator("#finder")).to_be_hidden()
        buttons = page.locator("#exports button").all_text_contents()
        assert buttons == ["RTTM", "JSON", "TXT"]
        of = reports.document(result)
        assert saved(page, "txt")[1].decode() == formats.render(["txt"], of)["txt"]


def test_text_alone_has_no_speakers(running, written):
    result = reports.scripts() | {"task": "asr"}
    for name in ("speakers", "turns"):
        del result[name]
    for segment in result["segments"]:
        del segment["speaker"]
        for word in segment["words"]:
            del word["speaker"]
    with opened(running, written(result)) as page:
        expect(page.locator("#diarization")).to_be_hidden()
        expect(page.locator(".who")).to_have_count(0)
        assert page.locator("#exports button").all_text_contents() == ["SRT", "JSON", "TXT"]
        of = reports.document(result)
        for kind in ("srt", "txt"):
            assert saved(page, kind)[1].decode() == formats.render([kind], of)[kind]
        result |= {"text": "Only <b>text</b>, no times."}
        del result["segments"]
    with opened(running, written(result)) as page:
        expect(page.locator(".plain")).to_have_text("Only <b>text</b>, no times.")


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_no_speech_at_all(running, written, seconds):
    result = reports.transcript([], seconds) | {"language": None}
    import numpy as np

    silence = np.zeros(round(seconds * 16_000), np.float32)
    sound = speech.prepare(silence, 5, JobControl()) if seconds else None
    with opened(running, written(result, sound)) as page:
        expect(page.locator(".empty")).to_have_text("No speech was found.")
        expect(page.locator("#diarization")).to_be_hidden()
        assert saved(page, "srt")[1] == b""


@pytest.mark.slow
def test_ten_hours_open_and_answer(running, written):
    result = reports.ten_hours()
    with opened(running, written(result)) as page:
        expect(page.locator("#facts")).to_contain_text("20,000 utterances")
        box = page.locator("#lanes").bounding_box()
        page.locator("#lanes").click(position={"x": box["width"] * 0.75, "y": 30})
        expect(page.locator("li.now")).to_be_in_viewport()
        expect(page.locator("#position")).to_have_text(re.compile(r"7:(29|30):\d\d"))
        page.locator("#query").fill("going")
        wait(page, "/^1\\d{4} of \\d{5}$/.test($('count').textContent)")
        # Far away, only what is near the reader was laid out.
        assert (
            page.evaluate("rows[10].text.checkVisibility({contentVisibilityAuto: true})") is False
        )
        of = reports.document(result)
        assert page.evaluate("srt()") == formats.render(["srt"], of)["srt"]


def test_a_missing_browser_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Debian's package chromium"):
        find()


def test_a_page_that_asks_for_something_fails_its_test(running: Browser, sample, tmp_path):
    path = tmp_path / "asks.html"
    text = sample.read_text()
    policy = re.search(r"<meta http-equiv.*?>", text)[0]
    path.write_text(
        text.replace(policy, "").replace("</header>", '<img src="http://127.0.0.1:9/">')
    )
    with (
        pytest.raises(AssertionError, match=r"asked for http://127\.0\.0\.1:9/"),
        opened(running, path),
    ):
        pass
