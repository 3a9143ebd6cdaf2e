"""FunASR's classes load with the packages of demo-funasr alone, and without the rest of FunASR."""

import json
import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:]
from volume_bootstrap.slim_funasr import import_funasr
import_funasr()
before = sys.modules["funasr"]
from funasr.models.sense_voice.model import SenseVoiceSmall
from funasr.models.paraformer.model import Paraformer
from funasr.models.seaco_paraformer.model import SeacoParaformer
from funasr.models.ct_transformer.model import CTTransformer
import_funasr()
classes = [SenseVoiceSmall, Paraformer, SeacoParaformer, CTTransformer]
print(json.dumps({
    "names": [each.__name__ for each in classes],
    "is_same": sys.modules["funasr"] is before,
    "version": before.__version__,
    "unwanted": sorted({"torchaudio", "transformers", "sklearn", "numba"} & set(sys.modules)),
    "packages": len([name for name in sys.modules if name.startswith("funasr.models.")]),
}))
"""


def test_the_slim_import(volume):
    generation = volume.pointer("demo-funasr").resolve()
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(ROOT), str(generation)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["names"] == ["SenseVoiceSmall", "Paraformer", "SeacoParaformer", "CTTransformer"]
    assert told["is_same"]
    assert told["version"] == "1.4.16"
    assert told["unwanted"] == []
    # The whole of FunASR is 300 and more.
    assert told["packages"] < 60
