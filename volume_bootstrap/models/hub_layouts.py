"""What lets each release of modelscope find a model at ``hub/<org>/<name>``, with no network.

With MODELSCOPE_CACHE set to the folder of models, releases look

- up to 1.22 at ``hub/<org>/<name>``, dots of the name written as ``___``;
- from 1.23 to 1.37 at ``models/<org>/<name>``, with dots so too. Where only the
  older place exists they *move* it there, away from what the manifest names;
- from 1.38 on at ``models/<org>/<name>`` still, and from 1.39 on at
  ``hub/<org>/<name>``.

Up to 1.37 a file counts as present if ``.msc`` beside it says so, a pickle.
"""

import os
import pickle
from collections.abc import Iterable
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.sources.wanted import INDEX


def make_findable(models: Path, model_id: str, paths: Iterable[str]) -> None:
    """Add what is missing of the index and the links; what is right already is left alone.

    Parameters
    ----------
    models : folder of models, which is MODELSCOPE_CACHE.
    model_id : ``<org>/<name>``.
    paths : the model's files, relative to its folder.
    """
    # An empty revision goes with any that a hub may name: nothing is fetched over these files.
    index = pickle.dumps([{"Path": path, "Revision": ""} for path in sorted(paths)], protocol=4)
    folder = models / "hub" / model_id
    if not (folder / INDEX).is_file() or (folder / INDEX).read_bytes() != index:
        partial = folder / f"{INDEX}.partial"
        partial.write_bytes(index)
        files.move_file(partial, folder / INDEX)
    org, _, name = model_id.partition("/")
    written = name.replace(".", "___")
    _link(models / "models" / org / written, models / "hub" / model_id)
    if written != name:
        _link(models / "hub" / org / written, models / "hub" / model_id)


def _link(link: Path, named: Path) -> None:
    # Folders on the way may be links themselves: a relative one is read from where they lead.
    there = Path(os.path.realpath(named.parent)) / named.name
    target = os.path.relpath(there, os.path.realpath(link.parent))
    if link.is_symlink() and link.readlink() == Path(target):
        return
    if link.exists() and not link.is_symlink():
        return  # a download of one of those releases: it finds its own
    link.parent.mkdir(parents=True, exist_ok=True)
    files.point(link, target)
