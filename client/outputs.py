"""Results on the disk: complete under their names, or not there at all.

All files of a recording are first written beside their names; then the journal says that it is
done; then they are renamed. Whoever is killed in between finds them at the next run.
"""

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from client.errors import OutputError
from client.sources import printable

WORK_DIGITS = 8
"""Of a fingerprint, in the name of a file that is not complete."""


class Outputs:
    """The files of one recording.

    Parameters
    ----------
    folder : of all results.
    name : of the recording, relative to it.
    work : fingerprint, so that what is beside a name is never taken for that of other work.
    """

    def __init__(self, folder: Path, name: str, formats: Sequence[str], work: str) -> None:
        self._folder = folder
        self._name = name
        self._formats = formats
        self._suffix = f".{work[:WORK_DIGITS]}.partial"

    def check(self) -> None:
        """Find out whether all can be written, before anything is spent on them.

        Raises
        ------
        OutputError
            One cannot: its name is too long, for example, or is that of a folder.
        """
        for file in map(self._file, self._formats):
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                if file.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                beside = self._beside(file)
                beside.open("ab").close()
                beside.unlink()
            except OSError as error:
                shown = printable(str(file))
                raise OutputError(
                    f"{shown} cannot be written: {error.strerror}. Nothing was sent."
                ) from error

    def prepare(self, reply: Mapping[str, Any]) -> tuple[str, ...]:
        """Write beside their names what of the formats is there; these formats.

        Where one is missing there is JSON, too: it was paid for, and others can be made of it.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        texts = {**reply.get("files", {})}
        whole = {key: value for key, value in reply.items() if key != "files"}
        texts["json"] = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
        formats = [kind for kind in self._formats if kind in texts]
        if len(formats) < len(self._formats) and "json" not in formats:
            formats.append("json")
        for kind in formats:
            file = self._file(kind)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                _write(self._beside(file), texts[kind].encode("utf-8", "backslashreplace"))
            except OSError as error:
                raise _failed(file, error) from error
        return tuple(formats)

    def publish(self, formats: Sequence[str]) -> None:
        """Give the names to what is prepared; what has its name already stays.

        Raises
        ------
        OutputError
            A file cannot be renamed.
        """
        for file in map(self._file, formats):
            try:
                self._beside(file).replace(file)
            except FileNotFoundError:
                continue  # was renamed before
            except OSError as error:
                raise _failed(file, error) from error

    def are_there(self, formats: Sequence[str]) -> bool:
        return all(self._file(kind).is_file() for kind in formats)

    def _file(self, kind: str) -> Path:
        return self._folder / f"{self._name}.{kind}"

    def _beside(self, file: Path) -> Path:
        return file.with_name(f".{file.name}{self._suffix}")


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _failed(file: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{printable(str(file))} cannot be written: {error.strerror}. The result stays with the "
        "platform for a while: mend it and run the same again."
    )
