"""RunPod's API, on loopback, where it does and does not do what it is asked."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.runpod_api import KEY, RunPodApi
from volume_bootstrap.errors import ApiError, PodError
from volume_bootstrap.pod.creation import PodPlan, follow, start_command
from volume_bootstrap.pod.runpod_api import RunPod

TRIES = 4


@pytest.fixture(scope="module")
def process() -> Iterator[RunPodApi]:
    with RunPodApi() as running:
        yield running


@pytest.fixture
def api(process: RunPodApi) -> RunPodApi:
    process.reset()
    return process


@pytest.fixture
def runpod(api: RunPodApi) -> RunPod:
    return RunPod(KEY, api.base, pauses_s=(0.01,) * (TRIES - 1))


@pytest.fixture
def hasty(runpod: RunPod) -> RunPod:
    """For an API that may be silent."""
    return replace(runpod, timeout_s=0.5)


def plan(**changed: object) -> PodPlan:
    facts = {
        "volume_id": "vol1", "image": "me/speech:1", "source": None, "gpus": ("NVIDIA L4",),
        "cpus": (), "num_cpus": 4, "data_centre": None, "disk_gb": 20,
        "environment": {"SPEECH_PROJECTS": "demo"},
    }  # fmt: skip
    return PodPlan(**{**facts, **changed})


def methods(api: RunPodApi) -> list[str]:
    return [call["method"] for call in api.calls]


def test_a_pod_from_its_creation_to_its_end(api, runpod):
    pod = runpod.create(plan().request())
    assert api.pods[pod]["networkVolumeId"] == "vol1"
    assert runpod.status(pod) == "RUNNING"
    runpod.end(pod)
    assert runpod.status(pod) is None
    assert api.pods == {}
    assert {call["key"] for call in api.calls} == {KEY}


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        ({"status": 429, "retry_after": 0, "times": 2}, 3),
        ({"status": 429, "retry_after": 1, "times": 1}, 2),
        ({"status": 500, "times": TRIES - 1}, TRIES),
        ({"status": 502, "carry_out": True}, 2),
        ({"silent": True}, 2),
        ({"silent": True, "carry_out": True}, 2),
        ({"drop": True}, 2),
        ({"drop": True, "carry_out": True}, 2),
    ],
)
def test_a_pod_is_ended_all_the_same(api, runpod, hasty, fault, tries):
    """What was carried out without an answer leaves a 404 to the next try."""
    api.add("pod9")
    api.fault("DELETE", **fault)
    (hasty if "silent" in fault else runpod).end("pod9")
    assert api.pods == {}
    assert methods(api) == ["DELETE"] * tries


@pytest.mark.parametrize(
    ("fault", "tries", "message"),
    [
        ({"status": 401}, 1, r"refuses the key in RUNPOD_API_KEY \(401\); give one .*: scripted\."),
        ({"status": 403}, 1, r"refuses the key in RUNPOD_API_KEY \(403\)"),
        ({"status": 404}, 1, r"knows no such pod under the key"),
        ({"status": 429}, TRIES, r"answered 429: scripted\."),
        ({"status": 500, "words": "a " * 999}, TRIES, r"answered 500: (a ){149}a\.$"),
        ({"status": 307}, 1, r"answered 307"),
        ({"silent": True}, TRIES, r"did not answer within 0\.5 s"),
        ({"drop": True}, TRIES, r"cannot be reached at http://127"),
    ],
)
def test_a_pod_that_is_not_ended_is_told(api, runpod, hasty, fault, tries, message):
    api.add("pod9")
    api.fault("DELETE", **{"times": 99, **fault})
    with pytest.raises(ApiError, match=message):
        (hasty if "silent" in fault else runpod).end("pod9")
    assert list(api.pods) == ["pod9"]
    assert methods(api) == ["DELETE"] * tries


def test_nobody_listens():
    with pytest.raises(ApiError, match=r"cannot be reached at http://127\.0\.0\.1:9/v1"):
        RunPod(KEY, "http://127.0.0.1:9/v1", pauses_s=(0.01,)).end("pod9")


def test_no_message_holds_the_key(api):
    wrong = RunPod("rpa_SECRET", api.base)
    for call in (wrong.end, wrong.status, lambda _: wrong.create(plan().request())):
        with pytest.raises(ApiError, match="key … is not known") as caught:
            call("pod9")
        assert "rpa_SECRET" not in str(caught.value)
    assert "rpa_SECRET" not in repr(wrong)


def test_a_key_of_a_netrc_is_not_sent_instead(api, runpod, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert runpod.status("pod9") is None
    assert api.calls[0]["key"] == KEY


def test_a_pod_is_asked_for_again_where_it_was_not_made(api, runpod):
    api.fault("POST", status=429, times=2)
    runpod.create(plan().request())
    assert len(api.pods) == 1
    assert methods(api) == ["POST"] * 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            {"status": 400, "words": "no such GPU"},
            r"answered 400: no such GPU\. No pod was created\.",
        ),
        ({"status": 500}, r"answered 500: scripted\. Whether there is a pod speech-provision-"),
        ({"silent": True, "carry_out": True}, r"did not answer .* Whether there is a pod speech-"),
        ({"drop": True, "carry_out": True}, r"cannot be reached .* end it if it is there"),
        ({"body": {"name": "x"}}, r"without the id of a pod\. Whether"),
        ({"body": []}, r"without the id of a pod\. Whether"),
    ],
)
def test_a_pod_that_may_have_been_made_is_not_asked_for_again(api, runpod, hasty, fault, message):
    api.fault("POST", **fault)
    with pytest.raises(ApiError, match=message):
        (hasty if "silent" in fault else runpod).create(plan().request())
    assert methods(api) == ["POST"]


SENT = {
    "SPEECH_MIRROR": "https://me:pa55@example.com/simple?sig=pa56",
    "HF_TOKEN": "hf_secret",
    "PHRASE": 'an "odd" one: \\ ü',
}


@pytest.mark.parametrize(
    "quoted",
    [
        {"words": f"cannot use {json.dumps(SENT)}"},
        {"words": f"cannot use {SENT}"},
        {"body": {"message": f"cannot use {json.dumps(SENT)}"}},
        {"body": ["cannot use", SENT]},
        {"words": "cannot use https://me:pa55@example.com, https://example.com/simple?sig=pa56"},
    ],
)
def test_no_message_holds_what_the_pod_was_sent(api, runpod, quoted):
    api.fault("POST", status=400, **quoted)
    with pytest.raises(
        ApiError, match=r"answered 400: .*cannot use.* No pod was created"
    ) as caught:
        runpod.create(plan(environment=SENT).request())
    for secret in ("pa55", "pa56", "hf_secret", "odd"):
        assert secret not in str(caught.value)


def test_what_is_asked_for():
    asked = plan(cpus=("cpu3c",), gpus=(), data_centre="EU-RO-1", source="https://x/y.tar.gz")
    body = asked.request()
    assert body["computeType"] == "CPU"
    assert (body["cpuFlavorIds"], body["vcpuCount"]) == (["cpu3c"], 4)
    assert body["dataCenterIds"] == ["EU-RO-1"]
    assert body["env"] == {"SPEECH_VOLUME": "/workspace", "SPEECH_PROJECTS": "demo"}
    assert body["volumeMountPath"] == "/workspace"
    assert body["dockerStartCmd"] == ["sh", "-c", start_command("https://x/y.tar.gz")]
    body = plan().request()
    assert (body["gpuTypeIds"], body["computeType"]) == (["NVIDIA L4"], "GPU")
    assert "dockerStartCmd" not in body
    assert body["name"] != plan().request()["name"]


def test_a_pod_is_followed_until_it_is_gone(api, runpod):
    api.add("pod9")
    api.fault("GET", status=500)
    api.fault("GET", times=2, body={"desiredStatus": "RUNNING"})
    api.fault("GET", status=404)
    follow(runpod, "pod9", limit_s=60, every_s=0.01)
    assert methods(api) == ["GET"] * 4


def test_a_pod_that_is_not_yet_known_is_not_gone(api, runpod):
    api.add("pod9")
    api.fault("GET", status=404, times=2)
    api.fault("GET", body={"desiredStatus": "RUNNING"})
    api.fault("GET", status=404)
    follow(runpod, "pod9", limit_s=60, every_s=0.01)
    assert methods(api) == ["GET"] * 4


@pytest.mark.parametrize(
    ("status", "fault", "message"),
    [
        ("RUNNING", {"status": 404, "times": 999}, "found no pod pod9 in 0 minutes"),
        ("EXITED", {}, "was stopped before it ended itself"),
        ("RUNNING", {}, r"is there still after 0 minutes: it needs longer, or it failed"),
        ("RUNNING", {"status": 401}, "cannot be followed: RunPod refuses the key"),
        ("RUNNING", {"body": {}}, "does not tell the status of pod pod9"),
    ],
)
def test_a_pod_that_did_not_end_itself_is_told(api, runpod, status, fault, message):
    """At the first look, which there is whatever the limit."""
    api.add("pod9", status)
    if fault:
        api.fault("GET", **fault)
    with pytest.raises(PodError, match=message) as caught:
        follow(runpod, "pod9", limit_s=0)
    assert str(caught.value).splitlines()[-1].startswith("It costs money") or status == "EXITED"
    assert "runpodctl remove pod pod9" in str(caught.value)
