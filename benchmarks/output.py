"""Where results are kept, and how they are written."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path("benchmarks/results")


def write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
