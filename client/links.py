"""What an answer only links to: texts at ``https://`` and ``s3://`` addresses."""

import re
from typing import Any

import httpx

from client import result
from client.errors import JobFailed, StorageError
from client.platform import (
    LONGEST_RETRY_AFTER_S,
    LOST_BEHIND,
    MAX_TRIES,
    REFUSED_FOR_NOW,
    Platform,
    retry_after_s,
)
from client.sources import shown_address
from client.storage import Storage, bucket_of

LINK = re.compile(r"(?:https?|s3)://\S+")
"""In place of a file's text, which ends with a line break or is empty."""
LINK_S = 60.0
MAX_BYTES = 1_000_000_000
"""Of what a link leads to: it is held in memory, and an address may have no end."""


class Links:
    """Reads what answers link to; several threads may share it.

    Parameters
    ----------
    platform : whose pauses, and whose end, hold for links, too.
    """

    def __init__(self, storage: Storage, platform: Platform) -> None:
        self._storage = storage
        self._platform = platform
        # Without the platform's key, which is no business of who keeps a result.
        self._http = httpx.Client(timeout=LINK_S, follow_redirects=True)

    def close(self) -> None:
        self._http.close()

    def bring(self, reply: dict[str, Any], output: object) -> dict[str, Any]:
        """The reply, with texts in place of links.

        Parameters
        ----------
        output : of the job; its bucket may be linked to, beside that of `storage`.

        Raises
        ------
        JobFailed
            What stands for a file is no text.
        StorageError
            A link cannot be followed.
        """
        files = reply.get("files")
        if not isinstance(files, dict):
            return reply
        texts = {kind: self._text(kind, text, output) for kind, text in files.items()}
        if whole := texts.pop("json", None):  # only ever a link: the answer was a summary
            reply = {**reply, **result.read_json(whole)}
        return {**reply, "files": texts}

    def _text(self, kind: str, text: object, output: object) -> str:
        if not isinstance(text, str):
            raise JobFailed("BAD_RESULT", f"files.{kind} of the answer is {text!r}, and no text.")
        if not LINK.fullmatch(text):
            return text
        content = self._object(text, output) if text.startswith("s3://") else self._get(text)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise _unread(text, f"it is no UTF-8 ({error.reason} at byte {error.start})") from error

    def _object(self, link: str, output: object) -> bytes:
        bucket = bucket_of(link)
        if not bucket:
            raise _unread(link, "it is no object of S3")
        if bucket not in (self._storage.bucket, bucket_of(output)):
            raise _unread(
                link,
                "it is in a bucket that you did not name. Where it is the right one, name it with "
                f"--s3 s3://{bucket}/ and run the same again",
            )
        return self._storage.read(link, MAX_BYTES)

    def _get(self, link: str) -> bytes:
        """Try as often as a call of the platform."""
        tries = 0
        while True:
            tries += 1
            least_s = 0.0
            try:
                with self._http.stream("GET", link) as response:
                    if response.status_code == httpx.codes.OK:
                        return _content(link, response)
                    problem = f"HTTP {response.status_code}"
                    is_final = response.status_code not in REFUSED_FOR_NOW | LOST_BEHIND
                    least_s = retry_after_s(response)
            except (httpx.InvalidURL, ValueError) as error:  # no address, or no text
                raise _unread(link, f"it is no address ({error})") from error
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
                is_broken = isinstance(error, httpx.TransportError)
                is_final = not is_broken or isinstance(error, httpx.UnsupportedProtocol)
            if is_final or tries == MAX_TRIES or least_s > LONGEST_RETRY_AFTER_S:
                raise _unread(link, f"{problem}, in {tries} tries")
            self._platform.pause_after(tries, problem, least_s)


def _content(link: str, response: httpx.Response) -> bytes:
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > MAX_BYTES:
            raise _unread(link, f"it has more than {MAX_BYTES / 1e6:g} MB")
    return bytes(content)


def _unread(link: str, why: str) -> StorageError:
    return StorageError(f"{shown_address(link)} cannot be read: {why}.")
