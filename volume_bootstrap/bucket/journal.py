"""What runs noted of their uploads to one place, for the run after a kill."""

import json
import logging
import threading
from typing import Any

from volume_bootstrap import files
from volume_bootstrap.layout import Volume

logger = logging.getLogger(__name__)


class Journal:
    """Notes by an object's key, in ``.metadata/uploads/<digest of the place>.json``.

    The volume's lock is held meanwhile: one run at a time writes it.
    """

    def __init__(self, volume: Volume, place: str) -> None:
        name = f"{files.digest_of(place)[:12]}.json"
        self._path = volume.metadata / "uploads" / name
        self._lock = threading.Lock()
        self._notes: dict[str, dict[str, Any]] = {}
        try:
            notes = json.loads(self._path.read_text(encoding="utf-8"))
            self._notes = {str(key): dict(note) for key, note in notes.items()}
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, AttributeError) as error:
            logger.warning("%s is damaged (%s); uploads are begun anew", self._path, error)

    def read(self, key: str) -> dict[str, Any]:
        """What is noted of an object; nothing where it was not begun."""
        return self._notes.get(key, {})

    def note(self, key: str, **values: object) -> None:
        """Note what is to be known of an object from now on."""
        self._write({**self._notes, key: values})

    def add_part(self, key: str, number: int, etag: str) -> None:
        """Note a part that arrived."""
        with self._lock:
            note = self._notes[key]
            self._write(
                {**self._notes, key: {**note, "etags": {**note["etags"], str(number): etag}}}
            )

    def remove(self) -> None:
        """Forget all: nothing is on its way any more."""
        self._path.unlink(missing_ok=True)

    def _write(self, notes: dict[str, dict[str, Any]]) -> None:
        self._notes = notes
        files.write_text(self._path, json.dumps(notes))
