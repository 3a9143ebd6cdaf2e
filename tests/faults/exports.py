"""A scene whose model is the real FSMN-VAD, exported anew for every version."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.faults.scene import Scene, scene
from tests.wheels import ROOT

BUNDLED = Path("projects/demo/models/speech_fsmn_vad_zh-cn-16k-common-pytorch")
JUDGE = ("onnxruntime==1.31.1", "numpy==2.4.6")
"""What an export is compared with its original by; from where pip finds packages."""


class ExportScene(Scene):
    """As a scene, but everything that is not of its own comes from where pip is configured to."""

    def environment(self, **variables: str) -> dict[str, str]:
        self.temporary.mkdir(exist_ok=True)
        own = {"TMPDIR": str(self.temporary), "COLUMNS": "400"}
        return {**os.environ, **own, **variables}

    def _describe(self, packages: list[str], models: list[dict[str, Any]]) -> None:
        super()._describe(packages, models)
        partner = packages[0].replace("greeting", "partner")
        groups = [
            {"name": "judge", "packages": [*JUDGE]},
            {"name": "own", "index_url": self.index.url, "packages": [*packages, partner]},
        ]
        text = yaml.safe_dump({"groups": groups, "imports": ["greeting", "bulky", "onnxruntime"]})
        (self.checkout.root / "projects" / "tiny" / "dependencies.yaml").write_text(text)

    def _offer_model(self, version: str) -> dict[str, Any]:
        folder = self.checkout.root / "bundled"
        if not folder.exists():
            shutil.copytree(ROOT / BUNDLED, folder)
        (folder / "config.json").write_text(json.dumps({"version": version}))
        return {
            "alias": "vad",
            "id": "tests/vad",
            "task": "vad",
            "licence": "Apache-2.0",
            "files": [{"path": path.name} for path in sorted(folder.iterdir())],
            "sources": [{"kind": "bundled", "path": "bundled"}],
            "export": "fsmn_vad",
        }


@contextlib.contextmanager
def export_scene(folder: Path) -> Iterator[ExportScene]:
    """Make such a scene in `folder`, gone when the block ends."""
    with scene(folder) as usual:
        yield ExportScene(usual.checkout, usual.index, usual.hub)
