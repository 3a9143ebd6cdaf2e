"""The networks of the demo volume, loaded once for all tests."""

from functools import cache

from volume_bootstrap.layout import Volume
from worker.device import Device
from worker.engines.embedding import SpeakerEmbedding
from worker.engines.segmentation import Segmentation
from worker.engines.session import OnnxSession
from worker.engines.vad import FsmnVad
from worker.model_store import ModelStore


@cache
def vad(volume: Volume) -> FsmnVad:
    """Load the demo's FSMN-VAD."""
    return FsmnVad(_session(volume, "vad"))


@cache
def embedding(volume: Volume) -> SpeakerEmbedding:
    """Load the demo's CAM++."""
    return SpeakerEmbedding(_session(volume, "embedding"))


@cache
def segmentation(volume: Volume) -> Segmentation:
    """Load the demo's segmentation-3.0."""
    return Segmentation(_session(volume, "segmentation"))


def _session(volume: Volume, task: str) -> OnnxSession:
    store = ModelStore(volume, "demo")
    alias = store.manifest().defaults["diarization"]["models"][task]
    path = store.verified(store.find(task, alias))
    return OnnxSession(path, Device("cpu", threads=2, precision="float32"))
