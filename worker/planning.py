"""What a job asks for, what its project says where it does not, and the models that do it.

A plan is made before anything is fetched: a job that cannot run costs nothing.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pydantic import ValidationError

from volume_bootstrap.layout import ModelRecord
from worker.control import JobControl
from worker.defaults import AsrModels, ProjectDefaults
from worker.diarization.clustering import SpeakerBounds
from worker.diarization.pipeline import DiarizationOptions, Diarizer
from worker.engines import funasr_models, whisper
from worker.engines.base import AsrOptions, Punctuator, Recogniser, Traits, Writes
from worker.engines.embedding import SpeakerEmbedding
from worker.engines.segmentation import Segmentation
from worker.engines.session import OnnxSession
from worker.engines.vad import FsmnVad, VadOptions
from worker.errors import InvalidInputError, ModelNotProvisionedError
from worker.model_cache import Loader, Model, ModelCache
from worker.model_store import ModelStore
from worker.naming import quote, quote_name
from worker.schema import JobRequest

LOADERS = {"funasr": funasr_models.load, "whisper": whisper.load}
"""By the engine that models.yaml names."""


@dataclass(frozen=True, slots=True)
class RecognitionPlan:
    """How speech becomes text.

    punctuator : for a model that writes no punctuation, where the job wants it.
    bare : whether the model's own punctuation is taken out.
    """

    recogniser: Recogniser
    options: AsrOptions
    punctuator: Punctuator | None
    bare: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Models and options of one job; what its task does not need is None.

    notes : what the job asked for and does not get, for its reader.
    load_s : time that the models took to load; next to nothing where they were warm.
    """

    vad: FsmnVad
    vad_options: VadOptions
    diarizer: Diarizer | None
    diarization: DiarizationOptions
    recognition: RecognitionPlan | None
    models: Mapping[str, ModelRecord]
    notes: tuple[str, ...]
    load_s: float


class Planner:
    """Makes plans from one project's models."""

    def __init__(self, store: ModelStore, cache: ModelCache) -> None:
        self._store = store
        self._cache = cache

    def defaults(self) -> ProjectDefaults:
        """What the project's manifest says of its tasks.

        Raises
        ------
        ModelNotProvisionedError
            The manifest is missing or damaged.
        """
        try:
            return ProjectDefaults.model_validate(self._store.manifest().defaults)
        except ValidationError as error:
            raise ModelNotProvisionedError(
                f"the manifest's defaults are damaged. {self._store.remedy}"
            ) from error

    @contextmanager
    def plan(self, request: JobRequest, control: JobControl) -> Iterator[Plan]:
        """Choose models and options; the models stay loaded until the job is done.

        Raises
        ------
        InvalidInputError
            The job asks for a model, language or option that there is not.
        ModelNotProvisionedError
            A model is missing from the volume or damaged.
        OutOfMemoryError
            A model does not fit beside those of other jobs.
        CancelledError, JobTimeoutError
            The job has to end.
        """
        with _Leases(self._cache, control) as leases:
            yield self._plan(request, leases)

    def _plan(self, request: JobRequest, leases: "_Leases") -> Plan:
        started = time.perf_counter()
        defaults = self.defaults()
        aliases = defaults.diarization.models
        models = {"vad": self._store.find("vad", aliases.vad)}
        diarization = _diarization_options(request, defaults)
        diarizer = None
        if request.task != "asr":
            wanted = request.model if request.task == "diarization" else None
            models["embedding"] = self._store.find("embedding", aliases.embedding, wanted)
            _check_embeddings(request, models["embedding"])
            session = leases.take(models["embedding"], OnnxSession)
            segmentation = None
            if _wants_overlap(request, defaults):
                if aliases.segmentation is None:
                    raise ModelNotProvisionedError(
                        "diarization.overlap: project "
                        f"{self._store.project} has no model that hears two voices at once. Send "
                        '"diarization": {"overlap": false}, or provision a project whose defaults '
                        "name a `segmentation`."
                    )
                models["segmentation"] = self._store.find("segmentation", aliases.segmentation)
                segmentation = Segmentation(leases.take(models["segmentation"], OnnxSession))
            diarizer = Diarizer(SpeakerEmbedding(session), self._cache.memory, segmentation)
        recognition, notes = None, tuple[str, ...]()
        if request.task != "diarization":
            if defaults.asr is None:
                raise ModelNotProvisionedError(
                    f"task: {request.task!r} needs a model that recognises speech, and project "
                    f"{self._store.project} has none; allowed: diarization. Provision a project "
                    "that has one, such as asr, and name it in SPEECH_PROJECT."
                )
            recognition, notes = self._recognition(request, defaults.asr.models, models, leases)
        vad = leases.take(models["vad"], OnnxSession)
        return Plan(
            vad=FsmnVad(vad),
            vad_options=_vad_options(request, defaults),
            diarizer=diarizer,
            diarization=diarization,
            recognition=recognition,
            models=models,
            notes=notes,
            load_s=time.perf_counter() - started,
        )

    def _recognition(
        self,
        request: JobRequest,
        aliases: AsrModels,
        models: dict[str, ModelRecord],
        leases: "_Leases",
    ) -> tuple[RecognitionPlan, tuple[str, ...]]:
        record = self._store.find("asr", aliases.asr, request.model)
        models["asr"] = record
        load = LOADERS.get(str(record.engine))
        if load is None:
            raise ModelNotProvisionedError(
                f"model {record.alias} is for the engine {record.engine!r}, which this worker does "
                f"not have; it has: {', '.join(LOADERS)}. Update the worker's image."
            )
        recogniser = leases.take(record, load)
        traits = recogniser.traits
        _check(request, record.alias, traits)

        notes = []
        wants_times = request.granularity != "none" or request.task == "transcript"
        if not traits.word_times and request.granularity == "word":
            notes.append(f"model {record.alias} tells no word times; segments have theirs")
        if not traits.word_times and request.task == "transcript":
            notes.append("speakers are told by segment, not by word")
        if request.itn and "itn" in request.model_fields_set and traits.itn is Writes.NEVER:
            notes.append(f"model {record.alias} writes numbers as words: it knows no itn")
        writes_marks = traits.punctuation is Writes.ALWAYS or (
            traits.punctuation is Writes.ON_REQUEST and request.itn
        )
        punctuator = None
        if request.punctuation and not writes_marks:
            if aliases.punctuation is None:
                notes.append(
                    f"model {record.alias} writes no punctuation here, and project "
                    f"{self._store.project} has no model for it"
                )
            else:
                models["punctuation"] = self._store.find("punctuation", aliases.punctuation)
                punctuator = leases.take(models["punctuation"], funasr_models.load_punctuation)
        options = AsrOptions(
            language=request.language,
            word_times=traits.word_times and wants_times,
            itn=request.itn,
            hotwords=tuple(request.hotwords),
        )
        bare = writes_marks and not request.punctuation
        return RecognitionPlan(recogniser, options, punctuator, bare), tuple(notes)


class _Leases(ExitStack):
    """What one job holds of the cache."""

    def __init__(self, cache: ModelCache, control: JobControl) -> None:
        super().__init__()
        self._cache = cache
        self._control = control

    def take(self, record: ModelRecord, load: Loader[Model]) -> Model:
        return self.enter_context(self._cache.lease(record, load, self._control))


def _check(request: JobRequest, alias: str, traits: Traits) -> None:
    """Refuse what a model cannot do."""
    if request.language not in ("auto", *traits.languages):
        raise InvalidInputError(
            f"language: {quote(request.language)} is not one that model {alias} knows; allowed: "
            f"{', '.join(('auto', *traits.languages))}."
        )
    if request.hotwords and not traits.hotwords:
        raise InvalidInputError(
            f"hotwords: model {alias} takes none. Leave them out, or name a model that does in "
            "`model`."
        )
    if not request.itn and traits.itn is Writes.ALWAYS:
        raise InvalidInputError(
            f"itn: model {alias} cannot leave it out. Leave `itn` out, or name another `model`."
        )


def _check_embeddings(request: JobRequest, record: ModelRecord) -> None:
    """Refuse embeddings of another model: they have nothing to do with this one's."""
    for voice in request.speakers:
        model = voice.embedding.model if voice.embedding else None
        if model not in (None, record.reference):
            raise InvalidInputError(
                f"speakers: the embedding of {quote_name(voice.name)} is of model {quote(model)}, "
                f"and this job uses {record.reference}. Enrol the voice by its audio, or have its "
                "embedding returned by this model."
            )


def _vad_options(request: JobRequest, defaults: ProjectDefaults) -> VadOptions:
    return VadOptions(
        **{
            **defaults.diarization.vad.model_dump(exclude_none=True),
            **request.vad.model_dump(exclude_none=True),
        }
    )


def _wants_overlap(request: JobRequest, defaults: ProjectDefaults) -> bool:
    asked = request.diarization.overlap
    return bool(defaults.diarization.diarization.overlap if asked is None else asked)


def _diarization_options(request: JobRequest, defaults: ProjectDefaults) -> DiarizationOptions:
    asked = {
        **defaults.diarization.diarization.model_dump(exclude_none=True, exclude={"overlap"}),
        **request.diarization.model_dump(exclude_none=True, exclude={"overlap"}),
    }
    speakers = SpeakerBounds(
        minimum=request.num_speakers or request.min_speakers or 1,
        maximum=request.num_speakers or request.max_speakers,
    )
    options = DiarizationOptions(speakers=speakers, **asked)
    if options.shift_s > options.window_s:
        raise InvalidInputError(
            f"diarization.shift_s: {options.shift_s} is larger than window_s "
            f"({options.window_s}), which would leave speech out; choose a smaller shift."
        )
    return options
