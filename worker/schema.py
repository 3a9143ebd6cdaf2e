"""The job request: pydantic at the edge, one clear sentence for each mistake."""

import difflib
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from worker import places
from worker.errors import InvalidInputError
from worker.formats import FORMATS_OF_TASK
from worker.naming import quote
from worker.sources import (
    MAX_SECONDS,
    MAX_VOICES,
    Address,
    AudioSource,
    EnrolledVoice,
    Finite,
    Strict,
    Text,
    VoiceEmbedding,
    Voices,
)

MAX_SPEAKERS = 100

MAX_AUDIOS = 64
"""Recordings of one job."""
MAX_MISTAKES = 5
"""Mistakes that one message names."""
MAX_FIELDS = 100
"""Of one object. pydantic describes each that it does not know, which takes seconds for many."""
MAX_GUESSED = 100
"""Characters of a name that is compared with those of fields."""


Task = Literal["diarization", "asr", "transcript"]
Format = Literal["json", "txt", "srt", "vtt", "rttm", "textgrid", "html"]
Timestamps = Literal["none", "segment", "word"]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,8}$")]
Hotword = Annotated[Text, Field(min_length=1, max_length=100)]
SpeakerCount = Annotated[int, Field(ge=1, le=MAX_SPEAKERS)]
BucketName = Annotated[str, Field(pattern=f"^{places.BUCKET}$")]
Place = Annotated[
    Text,
    AfterValidator(places.check),
    WithJsonSchema({"type": "string", "pattern": f"^{places.URL.pattern}$"}),
]
"""``s3://bucket/prefix/``"""


def _as_list(audio: object) -> object:
    """A job may name one recording or several, each by its address alone or by an object."""
    listed = audio if isinstance(audio, list) else [audio]
    return [{"url": source} if isinstance(source, str) else source for source in listed]


Source = Address | AudioSource
_SOME = Field(min_length=1, max_length=MAX_AUDIOS)
Recordings = Annotated[
    list[AudioSource],
    _SOME,
    BeforeValidator(
        _as_list,
        json_schema_input_type=Source | Annotated[list[Source], _SOME],
    ),
]


class VadRequest(Strict):
    """What a job may set of the VAD; what it leaves out is the project's."""

    max_end_silence_ms: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="a pause of so many milliseconds ends a segment of speech",
    )
    max_segment_s: Finite | None = Field(
        None, ge=1, le=600, description="a segment of speech that lasts longer is cut, in seconds"
    )
    speech_noise_threshold: Finite | None = Field(
        None,
        ge=-1,
        le=1,
        description="how much more like speech than like noise a moment has to be; -1 takes "
        "everything for speech",
    )


class DiarizationRequest(Strict):
    """What a job may set of the diarization; what it leaves out is the project's."""

    window_s: Finite | None = Field(
        None, ge=1, le=3, description="length of the windows whose voices are compared, in seconds"
    )
    shift_s: Finite | None = Field(
        None,
        ge=0.25,
        le=3,
        description="from one window to the next, in seconds; at most `window_s`",
    )
    merge_threshold: Finite | None = Field(
        None,
        ge=0,
        le=1,
        description="voices that are more alike than this (cosine) are one speaker",
    )
    overlap: bool | None = Field(
        None,
        description="whether turns may share time; where the project has no model for it, true is "
        "an error",
    )


SPEAKER_FIELDS = frozenset(
    {"num_speakers", "min_speakers", "max_speakers", "speakers", "return_embeddings"}
    | {"diarization"}
)
TEXT_FIELDS = frozenset({"language", "timestamps", "punctuation", "itn", "hotwords"})
FOREIGN_FIELDS = {"diarization": TEXT_FIELDS, "asr": SPEAKER_FIELDS, "transcript": frozenset[str]()}
"""Fields that say nothing to a task: one that is set is a mistake."""


class JobRequest(Strict):
    """``input`` of a job; once it is validated, `audio` is a list, also of one."""

    task: Task = Field(
        "transcript",
        description="who spoke when; what was said; both, each word with its speaker",
    )
    audio: Recordings = Field(
        description="the recording, or the recordings; a string is the `url` of one",
    )
    model: Text | None = Field(
        None,
        max_length=200,
        description="an alias from the project's `models.yaml`, in place of the project's choice: "
        "the speaker embedding for `diarization`, else the model that recognises speech",
    )
    language: Language = Field(
        "auto",
        description="what is spoken: a code that the model knows, such as `en` or `zh`; `auto` "
        "finds out, segment by segment",
    )
    timestamps: Timestamps | None = Field(
        None,
        description="how fine `segments` are; `none` leaves them out. By default `word` for "
        "`transcript`, else `segment`",
    )
    punctuation: bool = Field(
        default=True,
        description="punctuation by the model, or by the project's punctuation model where it "
        "writes none",
    )
    itn: bool = Field(
        default=True,
        description="inverse text normalisation: numbers and the like in digits",
    )
    hotwords: list[Hotword] = Field(
        [],
        max_length=200,
        description="names and terms to expect; an error for a model that takes none",
    )
    num_speakers: SpeakerCount | None = Field(
        None, description="known number of speakers; excludes the two bounds"
    )
    min_speakers: SpeakerCount | None = Field(None, description="there are at least so many")
    max_speakers: SpeakerCount | None = Field(None, description="there are at most so many")
    speakers: Voices = Field([], description="voices that may be heard (see Known voices)")
    return_embeddings: bool = Field(
        default=False,
        description="what each speaker's voice is like, to be known by in other jobs",
    )
    formats: list[Format] = Field(
        ["json"],
        min_length=1,
        max_length=len(get_args(Format)),
        description="files that come back inline under `files`; JSON is the reply itself",
    )
    vad: VadRequest = Field(
        default_factory=VadRequest,
        description="how speech is found; with `diarization.overlap` it does not decide alone who "
        "speaks when (below)",
    )
    diarization: DiarizationRequest = Field(
        default_factory=DiarizationRequest, description="how speakers are found"
    )
    output: Place | None = Field(
        None,
        description="`s3://bucket/prefix/` where the files go (see S3); without it they come back "
        "inline",
    )
    timeout_s: Finite | None = Field(
        None,
        gt=0,
        le=MAX_SECONDS,
        description="seconds after which the job ends with `TIMEOUT`; `SPEECH_JOB_TIMEOUT_S` holds "
        "as well",
    )
    stream: bool = Field(
        default=False,
        description="parts of the result are posted as they are known; the result is the same",
    )

    @model_validator(mode="after")
    def _fields_fit_the_task(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        if foreign := sorted(given & FOREIGN_FIELDS[self.task]):
            raise ValueError(f"{', '.join(foreign)}: of no use to task {self.task!r}; leave it out")
        allowed = FORMATS_OF_TASK[self.task]
        if odd := [name for name in self.formats if name not in allowed]:
            raise ValueError(
                f"formats: task {self.task!r} gives no {', '.join(odd)}; "
                f"allowed: {', '.join(allowed)}"
            )
        return self

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        low, high, count = self.min_speakers, self.max_speakers, self.num_speakers
        if count is not None and (low is not None or high is not None):
            raise ValueError("num_speakers excludes min_speakers and max_speakers")
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_speakers ({low}) is larger than max_speakers ({high})")
        return self

    @property
    def granularity(self) -> Timestamps:
        """The finest times that the result has."""
        return self.timestamps or ("word" if self.task == "transcript" else "segment")


PARTS: dict[str, type[BaseModel]] = {"vad": VadRequest, "diarization": DiarizationRequest}
"""Fields of a job that are objects, beside its audio."""


class S3Config(Strict):
    """``s3Config`` of a job, beside its ``input``: where its caller keeps files."""

    access_id: Text = Field(
        alias="accessId", min_length=1, max_length=500, description="the access key"
    )
    access_secret: SecretStr = Field(
        alias="accessSecret", min_length=1, max_length=500, description="its secret"
    )
    bucket_name: BucketName | None = Field(
        None,
        alias="bucketName",
        description="the bucket of a result that is too large for an answer",
    )
    endpoint_url: Text = Field(
        alias="endpointUrl",
        min_length=1,
        max_length=500,
        description="`https://host`, or `https://bucket.s3.region.host` for that bucket alone",
    )


def parse_s3_config(config: object) -> S3Config:
    """Validate a job's ``s3Config``; no message shows a value of it.

    Raises
    ------
    InvalidInputError
        Names each field that is wrong, and what is allowed.
    """
    check_num_fields("s3Config", config)
    allowed = ", ".join(str(field.alias) for field in S3Config.model_fields.values())
    try:
        return S3Config.model_validate(config)
    except ValidationError as error:
        mistakes = [
            f"{'.'.join(['s3Config', *(quote(str(part))[1:-1] for part in mistake['loc'])])}: "
            f"{mistake['msg']}"
            for mistake in error.errors(include_url=False, include_input=False)[:MAX_MISTAKES]
        ]
    raise InvalidInputError(f"{'; '.join(mistakes)}. Allowed fields: {allowed}.")


def parse(job_input: object) -> JobRequest:
    """Validate a job's ``input``.

    Raises
    ------
    InvalidInputError
        Names each field that is wrong, its value and what is allowed.
    """
    if not isinstance(job_input, dict):
        raise InvalidInputError(
            f"input: {quote(job_input)} is not allowed; expected an object such as "
            '{"task": "diarization", "audio": "https://..."}.'
        )
    if "webhook" in job_input:
        raise InvalidInputError(
            "webhook: not allowed inside input; set it beside input at the top level of the "
            "/run call, where the platform reads it."
        )
    for name, part in ("input", job_input), *((n, job_input.get(n)) for n in PARTS):
        check_num_fields(name, part)
    _check_voices(job_input.get("speakers"))
    audio = job_input.get("audio")
    if "audio" in job_input:
        listed = audio if isinstance(audio, list) else [audio]
        if len(listed) > MAX_AUDIOS:
            raise InvalidInputError(
                f"audio: {len(listed):,} recordings; at most {MAX_AUDIOS} go into one job. Send "
                "several jobs."
            )
        for index, source in enumerate(listed):
            check_num_fields(f"audio.{index}" if listed is audio else "audio", source)
    try:
        return JobRequest.model_validate(job_input)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        if not isinstance(audio, list):  # the caller knows of no list
            for mistake in errors:
                if mistake["loc"][:2] == ("audio", 0):
                    mistake["loc"] = ("audio", *mistake["loc"][2:])
        mistakes = [_describe(e) for e in errors[:MAX_MISTAKES]]
        if len(errors) > MAX_MISTAKES:
            mistakes.append(f"and {len(errors) - MAX_MISTAKES} more")
        raise InvalidInputError("; ".join(mistakes) + ".") from error


def check_num_fields(where: str, value: object) -> None:
    """Refuse an object that would take seconds to describe.

    Raises
    ------
    InvalidInputError
        It has more than `MAX_FIELDS`.
    """
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise InvalidInputError(
            f"{where}: has {len(value):,} fields; no object of a job has more than {MAX_FIELDS}."
        )


def _check_voices(voices: object) -> None:
    """Refuse what would take long to describe."""
    if not isinstance(voices, list):
        return
    if len(voices) > MAX_VOICES:
        raise InvalidInputError(
            f"speakers: {len(voices):,} voices; a job may know at most {MAX_VOICES}."
        )
    for index, voice in enumerate(voices):
        check_num_fields(f"speakers.{index}", voice)
        for name in ("audio", "embedding") if isinstance(voice, dict) else ():
            check_num_fields(f"speakers.{index}.{name}", voice.get(name))


EXPECTED = {"model_type": "expected an object", "list_type": "expected a list"}
"""pydantic names its own classes."""


def _describe(error: ErrorDetails) -> str:
    where = ".".join(quote(str(part))[1:-1] for part in error["loc"]) or "input"
    if error["type"] == "missing":
        return f"{where}: required, but missing"
    if error["type"] == "extra_forbidden":
        name, allowed = str(error["loc"][-1]), _fields_at(error["loc"][:-1])
        near = difflib.get_close_matches(name, allowed, n=1) if len(name) <= MAX_GUESSED else []
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{where}: unknown field{hint}; allowed: {', '.join(allowed)}"
    reason = EXPECTED.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] == "value_error":
        return f"{where}: {reason}"
    return f"{where}: {quote(error['input'])} is not allowed: {reason}"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of a part of a job, by where it is."""
    part: type[BaseModel]
    match location:
        case ():
            part = JobRequest
        case ("speakers", _):
            part = EnrolledVoice
        case ("speakers", _, "embedding"):
            part = VoiceEmbedding
        case (str(name), *_):
            part = PARTS.get(name, AudioSource)
        case _:
            raise ValueError(f"a job has no field at {location}")
    return list(part.model_fields)
