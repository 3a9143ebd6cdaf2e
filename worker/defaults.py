"""What a project says of its tasks, as its manifest tells."""

from worker.schema import DiarizationRequest, Task, VadRequest
from worker.sources import Strict


class DiarizationModels(Strict):
    """Aliases of the models that tell who spoke when; segmentation for `overlap`."""

    vad: str
    embedding: str
    segmentation: str | None = None


class DiarizationDefaults(Strict):
    """``defaults.diarization`` of a project, as its manifest tells."""

    models: DiarizationModels
    preload: bool = True
    vad: VadRequest = VadRequest()
    diarization: DiarizationRequest = DiarizationRequest()


class AsrModels(Strict):
    """Aliases of the models that tell what was said; punctuation for those that write none."""

    asr: str
    punctuation: str | None = None


class AsrDefaults(Strict):
    """``defaults.asr`` of a project, as its manifest tells."""

    models: AsrModels
    preload: bool = True


class ProjectDefaults(Strict):
    """``defaults`` of a project; one without `asr` only diarizes."""

    diarization: DiarizationDefaults
    asr: AsrDefaults | None = None

    @property
    def preloaded(self) -> list[Task]:
        """Tasks whose models are loaded before the first job, and stay loaded."""
        tasks: dict[Task, DiarizationDefaults | AsrDefaults | None] = {
            "diarization": self.diarization,
            "asr": self.asr,
        }
        return [task for task, defaults in tasks.items() if defaults and defaults.preload]
