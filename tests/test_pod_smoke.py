"""The job that a pod tries, and the Python that it needs."""

import pytest

from volume_bootstrap.errors import PodError
from volume_bootstrap.layout import Volume, running_python
from volume_bootstrap.pod import smoke
from volume_bootstrap.pod.smoke import check_image
from volume_bootstrap.project import read_project


def test_a_python_without_the_images_packages_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(smoke, "IMAGE", tmp_path / "requirements.txt")
    smoke.IMAGE.write_text("nowhere-to-be-found==1.0\npydantic==0.1\nrequests>=1\n")
    with pytest.raises(PodError, match=r"lacks nowhere-to-be-found==1\.0, pydantic==0\.1 \(here:"):
        check_image()


@pytest.mark.parametrize(
    ("speakers", "text", "missing"),
    [([], "hello", "a speaker in"), ([1], " ", "a word in"), ([], None, "a speaker or a word in")],
)
def test_a_job_that_finds_nothing_is_a_failure(tmp_path, speakers, text, missing):
    reply = {
        "audio": {"duration": 1.0}, "timings": {"total": 1.0}, "speakers": speakers, "text": text,
    }  # fmt: skip
    with pytest.raises(PodError, match=f"finds not {missing}"):
        smoke._tried(Volume(tmp_path), "demo", "transcript", "volume://samples/sample.wav", reply)


def test_a_job_that_does_not_end_is_a_failure(volume, monkeypatch):
    """A real worker, that is given no time."""
    monkeypatch.setattr(smoke, "JOB_LIMIT_S", 0.01)
    with pytest.raises(PodError, match=r"Project demo serves no job: .* did not end within "):
        smoke.try_job(volume, read_project("demo", running_python()))
