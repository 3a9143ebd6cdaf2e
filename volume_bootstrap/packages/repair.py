"""The repair that modelscope 1.10 to 1.16.0 need on a volume.

Their import knows the package's classes from an index that they keep as
``ast_indexer`` in MODELSCOPE_CACHE. Where that index is of the same release and
files have changed since, they scan the changed files, and that ends with
``'ClassDef' object has no attribute 'type_params'`` on Python 3.11 with gast
0.5.5 and 0.6. Without the file they take the index that their wheel carries. A build from
source bears a release date far ahead and takes itself for one under
development: its hub client then asks for branches in place of tags. From 1.16.1
on, a release never scans.
"""

import base64
import csv
import hashlib
import io
import logging
import re
from importlib.metadata import distributions
from pathlib import Path

from packaging.version import Version

from volume_bootstrap import files

logger = logging.getLogger(__name__)

FIRST, MENDED = Version("1.10"), Version("1.16.1")
RELEASED = "2024-07-02 00:00:00"
"""What 1.16.0 and 1.16.1 themselves bear; a build that is not released bears a later one."""

RELEASE_DATE = re.compile(r"(?<=^__release_datetime__ = ')[^']*(?=')", re.MULTILINE)
VERSION_FILE = "modelscope/version.py"


def repair_modelscope(folder: Path, models: Path) -> bool:
    """Repair modelscope in a generation, where its release needs that.

    Files of a generation are links into uv's cache, so each is replaced, never written to.

    Parameters
    ----------
    folder : the generation.
    models : folder of models, which is MODELSCOPE_CACHE.

    Returns
    -------
    Whether anything was changed.
    """
    found = next(iter(distributions(name="modelscope", path=[str(folder)])), None)
    if found is None or not FIRST <= Version(found.version) < MENDED:
        return False
    index = models / "ast_indexer"
    is_stale = index.is_file()
    if is_stale:  # a folder of that name is no index to anybody
        index.unlink()
    record = next(folder.glob("modelscope-*.dist-info/RECORD"))
    is_redated = _set_release_date(folder / VERSION_FILE, record)
    if is_stale or is_redated:
        logger.info("modelscope %s is repaired", found.version)
    return is_stale or is_redated


def _set_release_date(path: Path, record: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    date = RELEASE_DATE.search(text)
    if date is None or date[0] <= RELEASED:
        return False
    files.write_text(path, RELEASE_DATE.sub(RELEASED, text))
    for compiled in (path.parent / "__pycache__").glob("version.*.pyc"):
        compiled.unlink()

    # RECORD is what `verify` goes by.
    content = path.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for row in csv.reader(io.StringIO(record.read_text(encoding="utf-8"))):
        is_file = row[0] == VERSION_FILE
        writer.writerow([row[0], f"sha256={digest}", len(content)] if is_file else row)
    files.write_text(record, lines.getvalue())
    return True
