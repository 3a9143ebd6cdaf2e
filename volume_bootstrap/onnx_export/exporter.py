"""torch -> ONNX, in a process and a folder that no job ever sees.

torch and FunASR's network classes are installed into a temporary folder when
a model needs exporting, and are gone afterwards.
"""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Self

from volume_bootstrap.errors import DependencyError, ModelError, ToolError
from volume_bootstrap.files import digest_of, remove
from volume_bootstrap.layout import Volume
from volume_bootstrap.packages.dependencies import resolve
from volume_bootstrap.packages.uv_tool import Uv, find_uv
from volume_bootstrap.project import ROOT
from volume_bootstrap.runner import QUIET_ENVIRONMENT, run

logger = logging.getLogger(__name__)

RECIPE = 3
"""Raised when the same weights should give another ONNX file."""
TORCH = "torch==2.13.0"
ONNX = "onnx==1.23.2"
"""torch's exporter writes its file with it."""
FUNASR = "funasr==1.4.16"
"""Only two of its modules are imported, which need torch alone: it comes without its needs."""
TOLERANCE = 1e-4
"""Largest difference between the ONNX file and the torch original that passes."""
READ = {
    "fsmn_vad": ("model.pt", "am.mvn", "config.yaml"),
    "campplus": ("*.pt", "*.bin"),
    "pyannet": ("*.pt",),
}
"""Files that a network is made of; a change of another asks for no new export."""


def recipe(network: str, digests: Mapping[str, str]) -> str:
    """Digest of all that an export depends on: while it is the same, so is the ONNX file.

    Parameters
    ----------
    network : name of a function of `volume_bootstrap.onnx_export.networks`.
    digests : SHA-256 of the model's files, by path.
    """
    read = {p: d for p, d in digests.items() if any(fnmatch(p, name) for name in READ[network])}
    return digest_of(RECIPE, TORCH, ONNX, FUNASR, network, read)


class Exporter:
    """A temporary folder with torch in it; filled when the first model is exported.

    Parameters
    ----------
    volume : the volume that is filled: while its lock is held, nobody else uses the folder.
    generation : the project's packages: the ONNX Runtime that the jobs will use judges the export.
    """

    def __init__(self, volume: Volume, generation: Path) -> None:
        self._generation = generation
        # Not on the volume, which may be slow and small, but under a name that the next run finds:
        # a killed one leaves torch there.
        owner = digest_of(str(volume.root), os.getuid())[:12]
        self._tools = Path(tempfile.gettempdir()) / f"speech-export-{owner}"
        self._filled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        remove(self._tools)

    def export(self, network: str, weights: Path, target: Path) -> float:
        """Export one network and compare it with the original.

        Parameters
        ----------
        network : name of a function of `volume_bootstrap.onnx_export.networks`.
        weights : folder with the model's files.
        target : the ONNX file to write.

        Returns
        -------
        Largest absolute difference between the two on the same input.

        Raises
        ------
        DependencyError
            torch cannot be installed without gigabytes of CUDA.
        ModelError
            The export fails, or differs by more than `TOLERANCE`.
        """
        if not self._filled:
            self._fill()
            self._filled = True
        # Not by PYTHONPATH, where a colon in a path would split it.
        folders = [str(ROOT), str(self._generation), str(self._tools)]
        program = (
            f"import sys; sys.path[:0] = {folders!r}\n"
            "from volume_bootstrap.onnx_export.networks import main; main(*sys.argv[1:])"
        )
        command = [sys.executable, "-I", "-c", program, network, str(weights), str(target)]
        remove(target)  # never into a file that another version may share
        try:
            output = run(command, QUIET_ENVIRONMENT)
        except ToolError as error:
            raise ModelError(f"{weights} cannot be exported as {network}. {error}") from error
        difference = float(json.loads(output.splitlines()[-1])["max_difference"])
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{network} exported from {weights} differs from the original by {difference:.1e}; "
                f"at most {TOLERANCE:.0e} is allowed."
            )
        return difference

    def _fill(self) -> None:
        logger.info("installing %s for the export", TORCH)
        remove(self._tools)
        self._tools.mkdir(mode=0o700)
        uv = find_uv()
        try:
            pins, backend = resolve_torch(uv)
            target = ("--target", str(self._tools), "--no-deps", "--quiet", *backend)
            lines = [f"{name}=={version}" for name, version in pins.items()]
            uv("install", *target, "-r", "-", text="\n".join([*lines, FUNASR]))
        except ToolError as error:
            raise DependencyError(f"{TORCH} cannot be installed for the export. {error}") from error


def resolve_torch(uv: Uv) -> tuple[dict[str, str], tuple[str, ...]]:
    """Resolve torch without CUDA: where pip is configured to look, else in PyTorch's CPU index.

    Returns
    -------
    Versions by name, and the options that uv needs to install them.

    Raises
    ------
    DependencyError
        Every resolution holds CUDA, which would be gigabytes for an export.
    """
    wanted = f"{TORCH}\n{ONNX}"
    pins = resolve(uv, wanted)
    cuda = [name for name in pins if name.startswith("nvidia-")]
    if not cuda:
        return pins, ()
    refusal = (
        f"{TORCH} resolves to a build with CUDA ({', '.join(cuda[:3])}, ...), gigabytes that an "
        "export does not need. Put a CPU build where pip looks (find-links or an extra index)."
    )
    backend = ("--torch-backend", "cpu")
    try:
        pins = resolve(uv, wanted, *backend)
    except ToolError as error:
        raise DependencyError(f"{refusal} PyTorch's own CPU index gave none: {error}") from error
    if any(name.startswith("nvidia-") for name in pins):
        raise DependencyError(refusal)
    return pins, backend
