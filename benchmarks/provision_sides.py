"""What provisioning is measured with: the provisioner, pip and curl, each as they are."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ERROR_TAIL_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Provisioner:
    """A copy of the provisioner with one project, the volume it fills, the Python it runs in."""

    python: str
    root: Path
    project: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def volume(self) -> Path:
        return self.root / "volume"

    @property
    def pointer(self) -> Path:
        """The project's active generation."""
        (found,) = self.volume.glob(f"python-deps/py*/{self.project}")
        return found

    def run(self, *command: str) -> tuple[float, str]:
        """Run a command to its end; seconds that it took, and its log."""
        place = ["--project", self.project, "--volume", str(self.volume)]
        return timed(
            [self.python, "-m", "volume_bootstrap", *command, *place], self.root, self.variables
        )

    def stages(self, *command: str) -> dict[str, float]:
        """Run a command to its ``end``; seconds from before it is spawned to each of its stages.

        Raises
        ------
        RuntimeError
            It fails.
        """
        place = ["--project", self.project, "--volume", str(self.volume), "--verbose"]
        began: dict[str, float] = {}
        lines = []
        started = time.perf_counter()
        with subprocess.Popen(
            [self.python, "-m", "volume_bootstrap", *command, *place],
            cwd=self.root,
            env={**os.environ, **self.variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stderr or ():
                lines.append(line)
                if line.startswith("stage: "):
                    began[line.removeprefix("stage: ").strip()] = time.perf_counter() - started
        began["end"] = time.perf_counter() - started
        if process.returncode:
            raise RuntimeError("".join(lines)[-ERROR_TAIL_CHARS:])
        return began


def timed(
    command: Sequence[str], folder: Path, variables: dict[str, str] | None = None
) -> tuple[float, str]:
    """Run a command; seconds from before it is spawned to its end, and its standard error.

    Raises
    ------
    RuntimeError
        It fails.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command[:8])} failed:\n{done.stdout}{done.stderr}"[-ERROR_TAIL_CHARS:]
        )
    return seconds, done.stderr


def copy_provisioner(root: Path) -> None:
    """Copy the provisioner, so that its projects can be changed."""
    root.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "volume_bootstrap", root / "volume_bootstrap", ignore=ignored)
    for name in ("requirements.lock", "tests/data/sample.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)


def fetch(tool: Provisioner) -> float:
    """Download the model onto a volume that holds none; seconds in the stage that fetches."""
    shutil.rmtree(tool.volume / "models", ignore_errors=True)  # there is none in the first round
    for manifest in tool.volume.glob(".metadata/*.json"):
        manifest.unlink()
    stages = tool.stages("models", "download")
    begun = stages["fetch"]
    return min(at for at in stages.values() if at > begun) - begun


def curl(urls: Sequence[str], folder: Path) -> float:
    """Fetch the same files with curl, in one process and in ten; seconds of the better."""
    return min(_curl_once(urls, folder / "curl", together=together) for together in (True, False))


def _curl_once(urls: Sequence[str], target: Path, *, together: bool) -> float:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    transfers = [["--output", str(target / str(i)), url] for i, url in enumerate(urls)]
    common = ["curl", "--silent", "--show-error", "--no-progress-meter", "--fail"]
    if together:
        # Without --parallel-immediate it would wait to see whether one connection can be shared.
        together_options = ["--parallel", "--parallel-immediate", "--parallel-max", str(len(urls))]
        programs = [[*common, *together_options, *(w for words in transfers for w in words)]]
    else:
        programs = [[*common, *words] for words in transfers]
    started = time.perf_counter()
    running = [subprocess.Popen(program) for program in programs]
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - started
    if any(codes):
        raise RuntimeError(f"curl failed: {codes}")
    return seconds
