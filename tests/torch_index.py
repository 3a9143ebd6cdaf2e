"""Where ``make test`` has torch from: an index of builds without CUDA.

``python -m tests.torch_index`` prints the address for TORCH_CPU_INDEX. That is PyTorch's own,
unless pip is configured to give such a build itself, as where PyTorch's index is out of reach:
then the wheel is put into a folder that reads as an index (PEP 503).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from volume_bootstrap.files import sha256_of
from volume_bootstrap.layout import running_python
from volume_bootstrap.onnx_export.exporter import TORCH
from volume_bootstrap.packages.dependencies import resolve
from volume_bootstrap.packages.uv_tool import find_uv
from volume_bootstrap.project import ROOT
from volume_bootstrap.project_files import PLACEHOLDER

VARIABLE = "TORCH_CPU_INDEX"
FOLDER = ROOT / "volume" / ".cache" / f"{TORCH.replace('==', '-')}-py{running_python()}"


def address(folder: Path = FOLDER) -> str:
    """Return the index's address; `folder` is where one is put, if it has to be.

    Raises
    ------
    ToolError
        Nothing that pip is configured to ask gives torch.
    subprocess.CalledProcessError
        pip gives no wheel of it.
    """
    if chosen := os.environ.get(VARIABLE):
        return chosen
    if (folder / "torch" / "index.html").is_file():
        return folder.as_uri()
    if any(name.startswith("nvidia-") for name in resolve(find_uv(), TORCH)):
        return pytorch_index()
    make_index(folder)
    return folder.as_uri()


def pytorch_index() -> str:
    """PyTorch's own index, as the project names it."""
    text = (ROOT / "projects" / "demo-funasr" / "dependencies.yaml").read_text(encoding="utf-8")
    addresses = {m["name"]: m["default"] for m in re.finditer(PLACEHOLDER, text)}
    return addresses[VARIABLE]


def make_index(folder: Path) -> None:
    """Fill an index with the wheel of torch that pip chooses; a broken-off run leaves none."""
    shutil.rmtree(folder, ignore_errors=True)
    torch = folder / "torch"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--quiet", "--dest", torch, TORCH], check=True, stdout=sys.stderr)
    links = [
        f'<a href="{quote(wheel.name)}#sha256={sha256_of(wheel)}">{wheel.name}</a>\n'
        for wheel in torch.glob("*.whl")
    ]
    (torch / "index.html").write_text("".join(links), encoding="utf-8")


if __name__ == "__main__":
    print(address())  # noqa: T201
