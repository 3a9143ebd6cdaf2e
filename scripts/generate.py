"""Files that are made from the code: ``python -m scripts.generate`` writes them.

With ``--check`` it writes nothing and names those that are out of date, with exit code 1.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts import environment_table, generate_hub, generate_job_api, generate_licences

ROOT = Path(__file__).resolve().parent.parent

Render = Callable[[str], str]
"""What a file should hold, given what it holds now."""


def whole(content: Callable[[], str]) -> Render:
    """Make all of a file."""
    return lambda _: content()


def block(name: str, content: Callable[[], str]) -> Render:
    """Make what stands between ``<!-- NAME: made by make generate -->`` and ``<!-- NAME: end -->``.

    Raises
    ------
    SystemExit
        The file does not have these two lines, once each and in this order.
    """
    begin, end = f"<!-- {name}: made by make generate -->\n", f"<!-- {name}: end -->"
    between = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)

    def render(text: str) -> str:
        if text.count(begin) != 1 or text.count(end) != 1 or not between.search(text):
            sys.exit(f"One line {begin.strip()!r} is needed, and after it one line {end!r}.")
        return between.sub(lambda _: f"\n{content()}\n\n", text)

    return render


def blocks(contents: Mapping[str, Callable[[], str]]) -> Render:
    """Make several of them; a mark of another name is an error as well."""

    def render(text: str) -> str:
        if odd := set(re.findall(r"<!-- ([\w-]+): (?:made|end)", text)) - contents.keys():
            sys.exit(f"Nothing is made for the marks {', '.join(sorted(odd))}.")
        for name, content in contents.items():
            text = block(name, content)(text)
        return text

    return render


FILES: list[tuple[str, Render]] = [
    ("README.md", block("environment", environment_table.table)),
    (".runpod/hub.json", whole(generate_hub.hub)),
    (".runpod/tests.json", whole(generate_hub.tests)),
    (".runpod/Dockerfile", whole(generate_hub.dockerfile)),
    ("docs/job-api.md", blocks(generate_job_api.SECTIONS)),
    ("docs/job.schema.json", whole(generate_job_api.job_schema)),
    ("THIRD_PARTY_LICENSES", whole(generate_licences.licences)),
]
"""Each path and what is made of it. A translated README has the same table, where there is one."""
FILES += [
    (path.name, block("environment", environment_table.table))
    for path in sorted(ROOT.glob("README.*.md"))
]


def outdated(root: Path) -> dict[str, str]:
    """Files of the repository that are not what they should be, and what they should hold."""
    found = {}
    for name, render in FILES:
        path = root / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if (wanted := render(text)) != text or not path.exists():
            found[name] = wanted
    return found


def main(arguments: list[str], root: Path = ROOT) -> None:
    """Write what is out of date, or with ``--check`` name it."""
    if arguments not in ([], ["--check"]):
        sys.exit(f"{' '.join(arguments)} is not allowed; the one option is --check.")
    stale = outdated(root)
    if stale and arguments:
        sys.exit(f"Out of date: {', '.join(stale)}. Make them anew with: make generate")
    for name, text in stale.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
        print(f"written: {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
