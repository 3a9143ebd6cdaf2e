"""What docs/deployment.md sends to the platform."""

import re

import pytest

from tests.manual import ROOT, check, parsed, simple_commands
from worker.runpod_app import WEDGED_S
from worker.settings import Settings

# The names of what RunPod's https://rest.runpod.io/v1 creates something from, as its openapi.json
# has them at commit 01242f8 of github.com/runpod/docs; only those that the documents may use.
REST_FIELDS = {
    "networkvolumes": "name size dataCenterId",
    "pods": "name imageName computeType vcpuCount cpuFlavorIds cloudType containerDiskInGb "
    "networkVolumeId volumeMountPath dockerStartCmd env dataCenterIds",
    "templates": "name imageName isServerless category containerDiskInGb volumeInGb ports env "
    "containerRegistryAuthId",
    "endpoints": "name templateId computeType gpuCount gpuTypeIds minCudaVersion networkVolumeId "
    "dataCenterIds workersMin workersMax idleTimeout flashboot scalerType scalerValue "
    "executionTimeoutMs cpuFlavorIds vcpuCount",
}
TEXT = (ROOT / "docs" / "deployment.md").read_text()
SENT = re.findall(
    r"rest\.runpod\.io/v1/(\w+)\S*\s(?:\\\n)?\s*-d (?:@- <<END\n(.*?)\nEND|'(\{.*?\})'\n)",
    TEXT,
    re.DOTALL,
)
BODIES = [(what, parsed(body or short)) for what, body, short in SENT]


def test_all_are_found():
    calls = [line for line in TEXT.splitlines() if re.match(r"api -X (POST|PATCH)", line)]
    assert len(BODIES) == len(calls) == 5


@pytest.mark.parametrize(("what", "body"), BODIES)
def test_what_is_sent_has_the_platforms_fields(what, body):
    assert body.keys() <= set(REST_FIELDS[what].split())


def test_the_environment_is_the_workers():
    (template,) = (body for what, body in BODIES if what == "templates" and "env" in body)
    Settings.from_environment({"SPEECH_VOLUME": "/v", **template["env"]})
    assert template["env"].keys() <= {str(f.alias) for f in Settings.model_fields.values()}


def test_the_pod_can_run_its_command():
    (pod,) = (body for what, body in BODIES if what == "pods")
    shell, option, line = pod["dockerStartCmd"]
    assert (shell, option) == ("bash", "-c")
    ran = list(simple_commands(line))
    for words in ran:
        check(words)
    assert [words[0] for words in ran] == ["git", "cd", "pip", "python", "sleep"]


def test_the_worker_answers_before_the_platform_stops_it():
    (endpoint,) = (body for what, body in BODIES if what == "endpoints")
    limit_s = Settings.model_fields["job_timeout_s"].default
    assert endpoint["executionTimeoutMs"] == (limit_s + WEDGED_S) * 1000
