"""RunPod's REST API, as far as a pod that fills a volume needs it: create, look at, end.

https://docs.runpod.io/api-reference has its calls: ``/pods`` and ``/pods/ID``, a key as Bearer.
"""

import json
import logging
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from volume_bootstrap.errors import ApiError
from volume_bootstrap.runner import CREDENTIALS, QUERY

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

logger = logging.getLogger(__name__)

REST = "https://rest.runpod.io/v1"
CONSOLE = "https://console.runpod.io/pods"

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
"""Between tries: two minutes in all, for a pod that is not ended goes on costing money."""
LONGEST_PAUSE_S = 60.0
"""Whatever a Retry-After asks for."""
TIMEOUT_S = 30.0
SECRET_LENGTH = 8
"""What is shorter is no secret, and stands in many words."""
MAX_TOLD = 300
"""Characters of the API's own words that a message repeats."""


def is_key(text: str) -> bool:
    """Tell whether this can be a key: what a header carries, without spaces."""
    return text.isascii() and text.isprintable() and " " not in text


def uncertain(name: str) -> str:
    """Say what to do where a pod may have been created, or not."""
    return (
        f"Whether there is a pod {name} now is not known: look at {CONSOLE} before you run this "
        "again, and end it if it is there."
    )


def costs(pod_id: str) -> str:
    """Say what a pod that is left costs, and how to end it."""
    return f"It costs money until it is ended: {CONSOLE}, or runpodctl remove pod {pod_id}"


class _NoAnswerError(Exception):
    """There is no answer: whether the call was carried out is not known."""


@dataclass(frozen=True, slots=True)
class RunPod:
    """The API, for one key.

    pauses_s : seconds between two tries of a call; one try more than there are pauses.
    """

    key: str = field(repr=False)
    base: str = REST
    pauses_s: tuple[float, ...] = PAUSES_S
    timeout_s: float = TIMEOUT_S

    def create(self, pod: dict[str, Any]) -> str:
        """Create a pod and return its id.

        Only a call that was provably not carried out is made again: a second pod costs money.

        Raises
        ------
        ApiError
            There is none; or it is not known whether there is one, which the message says.
        """
        unknown = uncertain(pod["name"])
        pauses = list(self.pauses_s)
        while True:
            try:
                answer = self._send("POST", "/pods", pod)
            except _NoAnswerError as error:
                raise ApiError(f"{error} {unknown}") from error
            if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS or not pauses:
                break
            self._wait(pauses.pop(0), answer)
        if not _is_done(answer):
            is_refused = answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
            advice = "No pod was created." if is_refused else unknown
            sent = [value for value in pod.get("env", {}).values() if len(value) >= SECRET_LENGTH]
            told = self._told(answer, tuple(sent))
            raise ApiError(f"{told} {advice}")
        try:
            made = str(answer.json()["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(f"RunPod answered without the id of a pod. {unknown}") from error
        return made

    def status(self, pod_id: str) -> str | None:
        """What the pod is to be: ``RUNNING``, ``EXITED``, ``TERMINATED``; none where there is none.

        Raises
        ------
        ApiError
            The API refuses, or does not answer.
        """
        answer, _ = self._ask("GET", f"/pods/{pod_id}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if not _is_done(answer):
            raise ApiError(self._told(answer))
        try:
            return str(answer.json()["desiredStatus"])
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(f"RunPod does not tell the status of pod {pod_id}.") from error

    def end(self, pod_id: str) -> None:
        """End a pod for good, so that it costs nothing any more.

        Raises
        ------
        ApiError
            The API refuses, or does not answer; the pod may be there still.
        """
        answer, is_repeated = self._ask("DELETE", f"/pods/{pod_id}")
        # Of a try whose answer was lost, or that failed half-way, the next one finds no pod.
        if answer.status_code == HTTPStatus.NOT_FOUND and is_repeated:
            return
        if not _is_done(answer):
            raise ApiError(self._told(answer))

    def _ask(self, method: str, path: str) -> tuple["Response", bool]:
        """Call until there is an answer that another try would not change.

        Returns
        -------
        The answer, and whether an earlier try may have been carried out.
        """
        may_be_done = False
        pauses = list(self.pauses_s)
        while True:
            try:
                answer = self._send(method, path)
            except _NoAnswerError as error:
                if not pauses:
                    raise ApiError(str(error)) from error
                may_be_done = True
                logger.warning("%s Trying again.", error)
                self._wait(pauses.pop(0))
                continue
            is_broken = answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            if not (is_broken or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS) or not pauses:
                return answer, may_be_done
            may_be_done |= is_broken
            logger.warning("%s Trying again.", self._told(answer))
            self._wait(pauses.pop(0), answer)

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> "Response":
        import requests  # takes longer to import than most commands take

        try:
            # Nobody who is redirected to gets the key.
            return requests.request(
                method,
                self.base.rstrip("/") + path,
                json=body,
                auth=self._sign,
                timeout=self.timeout_s,
                allow_redirects=False,
            )
        except requests.Timeout as error:
            told = f"RunPod's API did not answer within {self.timeout_s:g} s."
            raise _NoAnswerError(told) from error
        except requests.RequestException as error:
            told = f"RunPod's API cannot be reached at {self.base} ({type(error).__name__})."
            raise _NoAnswerError(told) from error

    def _sign(self, request: "PreparedRequest") -> "PreparedRequest":
        """Add the key; as plain headers, a .netrc of the user would take its place."""
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def _wait(self, pause_s: float, answer: "Response | None" = None) -> None:
        asked = answer.headers.get("Retry-After", "") if answer is not None else ""
        if asked.isdecimal():
            pause_s = max(pause_s, min(float(asked), LONGEST_PAUSE_S))
        time.sleep(pause_s)

    def _told(self, answer: "Response", secrets: tuple[str, ...] = ()) -> str:
        """What an answer says that is no success, and what to do about it.

        secrets : what it may quote of the request, and no message holds.
        """
        number = answer.status_code
        if number in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            told = f"RunPod refuses the key in RUNPOD_API_KEY ({number}); give one that may do this"
        elif number == HTTPStatus.NOT_FOUND:
            told = f"RunPod knows no such pod under the key in RUNPOD_API_KEY ({number})"
        else:
            told = f"RunPod's API answered {number}"
        try:
            words = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            words = answer.text
        words = _masked(str(words), (self.key, *secrets))
        words = " ".join(words.split())[:MAX_TOLD].rstrip(". ")
        return f"{told}: {words}." if words else f"{told}."


def _is_done(answer: "Response") -> bool:
    return HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES


def _masked(words: str, secrets: tuple[str, ...]) -> str:
    """Words of the API without secrets, and without those of any address."""
    # A body may be quoted inside a text of another one: without backslashes, any number of
    # escapes looks alike.
    words = words.replace("\\", "")
    forms = {
        form.replace("\\", "")
        for secret in map(str.strip, secrets)
        for form in (secret, json.dumps(secret)[1:-1])
        if secret
    }
    # The longest first: one may be a part of another.
    for form in sorted(forms, key=len, reverse=True):
        words = words.replace(form, "…")
    return QUERY.sub(r"\g<address>", CREDENTIALS.sub("", words))
