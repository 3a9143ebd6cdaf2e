"""ONNX sessions: what they refuse to run, and to pass on."""

import numpy as np
import pytest

from worker.device import Device
from worker.engines.embedding import SpeakerEmbedding
from worker.engines.session import OnnxSession
from worker.errors import ModelNotProvisionedError
from worker.faults import is_device_fault
from worker.model_store import ModelStore


@pytest.fixture(scope="module")
def session(volume) -> OnnxSession:
    store = ModelStore(volume, "demo")
    path = store.verified(store.manifest().model("fsmn-vad"))
    return OnnxSession(path, Device("cpu", 2, "float32"))


def test_a_network_that_was_exported_for_another_release(session):
    with pytest.raises(ModelNotProvisionedError) as caught:
        SpeakerEmbedding(session)
    assert str(caught.value) == (
        "Run `python -m volume_bootstrap setup` of this release on the volume: "
        "speech_fsmn_vad_zh-cn-16k-common-pytorch was exported for another one; it takes frames, "
        "and this worker gives tiles, windows."
    )


def test_what_is_not_finite_is_a_fault_of_the_device(session):
    def make(value: float) -> tuple[np.ndarray]:
        return (np.full((1, 20, 80), value, np.float32),)

    assert len(list(session.map(make, [0.0, 1.0]))) == 2
    with pytest.raises(FloatingPointError, match="gave values that are not finite") as caught:
        list(session.map(make, [0.0, np.nan, 1.0]))
    assert is_device_fault(caught.value)
