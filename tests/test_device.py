import os
import sys
from types import ModuleType, SimpleNamespace

import pytest

from worker import device
from worker.device import CPU_PROVIDER, CUDA_PROVIDER, Device, choose
from worker.engines.session import OnnxSession
from worker.errors import StartupError
from worker.model_store import ModelStore


def test_a_session_that_runs_elsewhere_than_it_should_is_refused(volume):
    """This ONNX Runtime has no CUDA: it falls back to the CPU and says nothing."""
    store = ModelStore(volume, "demo")
    path = store.verified(store.manifest().model("fsmn-vad"))
    assert OnnxSession(path, Device("cpu", 1, "float32"))
    with (
        pytest.warns(UserWarning, match=CUDA_PROVIDER),
        pytest.raises(StartupError, match=f"uses {CPU_PROVIDER} where {CUDA_PROVIDER} was asked"),
    ):
        OnnxSession(path, Device("cuda:0", 1, "float32"))


def test_what_is_asked_for_is_what_is_chosen():
    assert choose("cpu", 3) == Device("cpu", 3, "float32")
    assert choose("auto", 2).name == "cpu"
    with pytest.raises(StartupError, match=r"SPEECH_DEVICE=cuda:1, but .* has no CUDA"):
        choose("cuda:1", 1)


def test_a_precision_is_kept_and_else_that_of_the_device():
    assert choose("cpu", 1, "int8").precision == "int8"
    assert choose("cpu", 1).precision == "float32"


def test_free_memory_is_what_the_machine_has_left():
    free = Device("cpu", 1, "float32").free_bytes()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**20 < free < total


def test_the_container_leaves_less_than_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    unlimited = Device("cpu", 1, "float32").free_bytes()
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("250000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 40000000\n")
    assert Device("cpu", 1, "float32").free_bytes() == 90_000_000 < unlimited


def test_torch_counts_on_a_gpu_as_far_as_another_thread_has_imported_it(monkeypatch):
    monkeypatch.setattr(device.gpu_memory, "free_and_total", lambda _: (60, 100))
    torch, gpu, emptied = ModuleType("torch"), Device("cuda:0", 1, "float16"), []
    monkeypatch.setitem(sys.modules, "torch", torch)
    for torch.cuda in (None, ModuleType("torch.cuda")):
        gpu.release()
        assert (gpu.free_bytes(), gpu.used_bytes()) == (60, 40)
    del torch.cuda
    gpu.release()
    assert (gpu.free_bytes(), gpu.used_bytes()) == (60, 40)
    torch.cuda = SimpleNamespace(
        memory_reserved={"cuda:0": 10}.get,
        memory_allocated={"cuda:0": 4}.get,
        empty_cache=lambda: emptied.append(1),
    )
    gpu.release()
    assert (gpu.free_bytes(), gpu.used_bytes(), emptied) == (66, 34, [1])
