"""What a job reads: its recordings, and the voices that it knows."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_SECONDS = 10_000_000
"""Longer than any recording; what lies beyond is a mistake."""
MAX_VOICES = 100
"""Of one job."""
EMBEDDING_VALUES = 192
"""Of one voice: what CAM++ gives."""
LARGEST_VALUE = 1e6
SHORTEST_VECTOR = 1e-6
"""What is shorter has no direction that means anything."""


def _is_unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half a surrogate pair, which is no text") from error
    return text


def _is_name(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError(
            "a name has printable characters alone, no line break, and no blank at its ends"
        )
    if key(text).startswith("speaker_"):
        raise ValueError("SPEAKER_… is how speakers without a name are called; choose another")
    return text


Text = Annotated[str, AfterValidator(_is_unicode)]
Address = Annotated[Text, Field(min_length=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_is_name)]
Value = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST_VALUE, le=LARGEST_VALUE)]


def key(name: str) -> str:
    """What two names may not share: files such as RTTM write blanks as underscores."""
    return re.sub(r"[\s_]+", "_", unicodedata.normalize("NFKC", name)).casefold()


class Strict(BaseModel):
    """What a caller or a manifest says: nothing is converted, nothing may be unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AudioSource(Strict):
    """Where the audio is, and which stretch of it is meant."""

    url: Address = Field(
        description="`https://…`, `http://…`, `s3://bucket/key`, `volume://path/under/the/volume` "
        "or `data:audio/wav;base64,…`",
    )
    id: Text | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="comes back with the result, and names its files",
    )
    offset: Finite = Field(
        0.0, ge=0, le=MAX_SECONDS, description="where the stretch begins that is meant, in seconds"
    )
    duration: Finite | None = Field(
        None,
        gt=0,
        le=MAX_SECONDS,
        description="how long that stretch is, in seconds; without it, to the end",
    )


BareValues = Annotated[list[Value], Field(min_length=EMBEDDING_VALUES, max_length=EMBEDDING_VALUES)]


class VoiceEmbedding(Strict):
    """A voice as `return_embeddings` gives it, with the model that it is of."""

    model: Text | None = Field(
        None, max_length=500, description="the model that it is of; of another it is refused"
    )
    values: BareValues = Field(description="the voice itself")

    @model_validator(mode="after")
    def _has_a_direction(self) -> Self:
        if math.hypot(*self.values) < SHORTEST_VECTOR:
            raise ValueError("all values are zero, or next to it, which is no voice")
        return self


def _as_source(audio: object) -> object:
    return {"url": audio} if isinstance(audio, str) else audio


def _as_values(embedding: object) -> object:
    if isinstance(embedding, list):
        return {"values": embedding}
    if embedding is None or isinstance(embedding, dict | VoiceEmbedding):
        return embedding
    raise ValueError(
        f"an embedding is a list of {EMBEDDING_VALUES} numbers, or an object with such as `values`"
    )


class EnrolledVoice(Strict):
    """Somebody who may be heard; known by audio or by an embedding."""

    name: Name = Field(description="who has the voice; stands in place of `SPEAKER_nn`")
    audio: Annotated[
        AudioSource | None,
        BeforeValidator(_as_source, json_schema_input_type=Address | AudioSource | None),
    ] = Field(None, description="speech of that one person; a string is its `url`")
    embedding: Annotated[
        VoiceEmbedding | None,
        BeforeValidator(_as_values, json_schema_input_type=BareValues | VoiceEmbedding | None),
    ] = Field(
        None,
        description="what `return_embeddings` gave, or its `values` alone; exactly one of this "
        "and `audio` is needed",
    )

    @model_validator(mode="after")
    def _is_known_in_one_way(self) -> Self:
        if (self.audio is None) == (self.embedding is None):
            given = "neither" if self.audio is None else "both"
            raise ValueError(f"exactly one of audio and embedding is needed; it has {given}")
        return self


def differ(voices: Sequence[EnrolledVoice]) -> Sequence[EnrolledVoice]:
    """Refuse names that files could not tell apart."""
    known: dict[str, str] = {}
    for voice in voices:
        if other := known.get(key(voice.name)):
            raise ValueError(
                f"two voices are named {other!r} and {voice.name!r}; names have to differ by more "
                "than case, blanks, underscores and forms of Unicode"
            )
        known[key(voice.name)] = voice.name
    return voices


Voices = Annotated[list[EnrolledVoice], Field(max_length=MAX_VOICES), AfterValidator(differ)]
