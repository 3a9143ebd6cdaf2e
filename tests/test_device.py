import pytest

from worker.device import CPU_PROVIDER, CUDA_PROVIDER, Device, choose
from worker.engines.session import OnnxSession
from worker.errors import StartupError
from worker.model_store import ModelStore


def test_a_session_that_runs_elsewhere_than_it_should_is_refused(volume):
    """This ONNX Runtime has no CUDA: it falls back to the CPU and says nothing."""
    store = ModelStore(volume, "demo")
    path = store.verified(store.manifest().model("fsmn-vad"))
    assert OnnxSession(path, Device("cpu", 1))
    with (
        pytest.warns(UserWarning, match=CUDA_PROVIDER),
        pytest.raises(StartupError, match=f"uses {CPU_PROVIDER} where {CUDA_PROVIDER} was asked"),
    ):
        OnnxSession(path, Device("cuda:0", 1))


def test_what_is_asked_for_is_what_is_chosen():
    assert choose("cpu", 3) == Device("cpu", 3)
    assert choose("auto", 2).name == "cpu"
    with pytest.raises(StartupError, match=r"SPEECH_DEVICE=cuda:1, but .* has no CUDA"):
        choose("cuda:1", 1)
