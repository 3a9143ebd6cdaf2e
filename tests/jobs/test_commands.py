"""``jobs list|show|logs|stop`` and what they tell to type."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs import DEADLINE_S, WORK, note
from volume_bootstrap.jobs import control, records
from volume_bootstrap.jobs.records import Work
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import myself


def test_a_plan_is_no_job_and_the_order_of_projects_is_kept(checkout, volume):
    place = ("--volume", str(checkout.volume))
    refused = checkout.run("setup", "-p", "tiny", "--dry-run", "--detach", *place)
    assert refused.returncode == 1
    assert "error: Give --dry-run or --detach, not both" in refused.stderr
    assert records.all_jobs(volume) == []
    other = checkout.root / "projects" / "atom"
    shutil.copytree(checkout.root / "projects" / "tiny", other)
    begun = checkout.run("setup", *("-p", "tiny", "-p", "atom") * 2, "--detach", *place)
    assert begun.returncode == 0, begun.stderr
    (job,) = records.all_jobs(volume)
    assert job.work.options == ("--project", "tiny", "--project", "atom")
    control.stop(volume, job)


DOWNLOAD = Work("download", ("org/name", "--source", "modelscope"), WORK.python, None)


OTHER = {"MODELSCOPE_CACHE": "/other"}


@pytest.mark.parametrize(
    ("work", "cache", "variables", "setting", "place"),
    [
        (WORK, None, {}, "", "--volume {0}"),
        (WORK, None, OTHER, "MODELSCOPE_CACHE='' ", "--volume {0}"),
        (DOWNLOAD, "a volume/hub", OTHER, "", "--cache-dir {1}"),
        (DOWNLOAD, "out", {}, "MODELSCOPE_CACHE={1} ", "--volume {0}"),
    ],
)
def test_the_line_of_a_job_that_died_begins_the_same_again(
    checkout, tmp_path, work, cache, variables, setting, place
):
    """In the same place, from any shell: the line is typed where it was told."""
    volume = Volume(tmp_path / "a volume")
    records.folder_of(volume).mkdir(parents=True)
    folder = str(tmp_path / cache) if cache else None
    work = replace(work, python=volume.python, cache=folder)
    died = note(volume, f"{work.name}-1", work=work, process=replace(myself(), started="1"))
    line = f"{setting}python -m volume_bootstrap {work.name} {' '.join(work.options)} {place}"
    line = line.format(shlex.quote(str(volume.root)), shlex.quote(folder or ""))
    here = ("--volume", str(volume.root))
    variables = {**variables, "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}
    assert f"  {line}\n" in checkout.run("jobs", "show", died.id, *here, **variables).stdout
    followed = checkout.run("jobs", "logs", died.id, "--follow", *here, **variables)
    assert followed.stderr.endswith(f"to go on: {line} --detach\n")

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    typed = subprocess.run(
        ["sh", "-c", followed.stderr.rpartition(" to go on: ")[2]],
        cwd=checkout.root,
        env=checkout.environment(**variables, PATH=path),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert typed.stdout.startswith(f"job {work.name}-2 has begun"), typed.stderr
    again = records.find(volume, f"{work.name}-2")
    control.stop(volume, again)
    assert again.work == work


def test_a_job_whose_log_is_gone_is_shown(bare, checkout):
    note(bare, "setup-1", exit_code=0, ended="2026-01-01T00:00:01+00:00")
    records.log_of(bare, "setup-1").unlink()
    place = ("--volume", str(bare.root))
    shown = checkout.run("jobs", "show", "setup-1", *place)
    assert shown.returncode == 0, shown.stderr
    assert "job setup-1: done at 2026-01-01T00:00:01+00:00, exit code 0\n" in shown.stdout
    assert f"  log      {records.log_of(bare, 'setup-1')}, which does not exist\n" in shown.stdout
    told = json.loads(checkout.run("jobs", "show", "setup-1", "--json", *place).stdout)
    assert (told["state"], told["stage"]) == ("done", None)


def test_credentials_stay_out_of_what_is_written(checkout, volume):
    """The job itself gets them: its index is asked, and refuses a connection."""
    url = "http://user:secret@127.0.0.1:9/simple?signature=secret"
    place = ("--volume", str(checkout.volume))
    checkout.describe(["absent==1.0"], ["absent"])
    begun = checkout.run("setup", "-p", "tiny", "--mirror", url, "--detach", *place)
    assert begun.returncode == 0, begun.stderr
    followed = checkout.run("jobs", "logs", "setup-1", "--follow", *place)
    assert followed.returncode == 1
    written = [path.read_text() for path in records.folder_of(volume).iterdir()]
    assert "http://127.0.0.1:9/simple" in "".join(written)
    assert "secret" not in "".join([*written, begun.stdout, begun.stderr, followed.stdout])
