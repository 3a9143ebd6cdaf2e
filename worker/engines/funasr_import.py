"""Modules of FunASR, imported without the rest of it and without what they say of themselves."""

import contextlib
import importlib
import io
import sys
import threading
import warnings
from types import ModuleType

from volume_bootstrap.slim_funasr import import_funasr

_IMPORTS = threading.Lock()
"""What an import silences belongs to the process: two at once could leave it silenced."""


def funasr_module(name: str) -> ModuleType:
    """Import a module such as ``models.sense_voice.model``; its classes enter FunASR's registry."""
    with _IMPORTS:
        import_funasr()
        imported = sys.modules.get(f"funasr.{name}")
        if imported is not None:
            return imported
        if sys.version_info >= (3, 12):
            # Some modules compare torch's version with distutils, which is setuptools' own now.
            importlib.import_module("setuptools")
        # It prints that there is no ffmpeg, and warns of distutils and torch.jit.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module(f"funasr.{name}")
