"""FunASR's model classes without the rest of FunASR. Standard library only.

Both the exporter and the worker load networks this way, so the worker imports this module of the
provisioner beside `volume_bootstrap.layout`.
"""

import importlib.metadata
import sys
import types


def import_funasr() -> None:
    """Make ``funasr.models...`` importable without running the package's own ``__init__``.

    That imports every model package of FunASR (9 s, 4,178 modules with funasr 1.4.16) and all that
    these need. A package that is imported already, in either way, is left as it is.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        FunASR is not installed.
    """
    if "funasr" in sys.modules:
        return
    distribution = importlib.metadata.distribution("funasr")
    package = types.ModuleType("funasr")
    package.__path__ = [str(distribution.locate_file("funasr"))]
    package.__dict__["__version__"] = distribution.version
    if sys.version_info >= (3, 12):
        # Paraformer and CT-Transformer import distutils, which this Python no longer has;
        # setuptools, which torch needs, brings it back.
        importlib.import_module("setuptools")
    sys.modules["funasr"] = package
