"""The job request, as pydantic models: docs/job-api.md is made from them."""

from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from worker import places
from worker.formats import FORMATS_OF_TASK
from worker.sources import (
    MAX_SECONDS,
    Address,
    AudioSource,
    Finite,
    Strict,
    Text,
    Voices,
)

MAX_SPEAKERS = 100

MAX_AUDIOS = 64
"""Recordings of one job."""


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
