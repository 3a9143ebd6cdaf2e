"""RunPod's platform on loopback, in a process of its own, for workers that are real processes.

``python -m tests.platform`` speaks the calls of the SDK (1.12), records every request, and
misbehaves on command. A test says ``with Platform() as platform, WorkerProcess(...) as worker:``.

================================  ============================================================
``GET /job-take/WORKER``          one job, held until there is one; then 204
``GET /job-take-batch/WORKER``    up to `batch_size` jobs
``GET /job-stop/WORKER``          `{"jobsToStop": [ids]}`, held likewise
``POST /job-done/WORKER/JOB``     a result, or an update with `"status": "IN_PROGRESS"`
``POST /job-stream/WORKER/JOB``   a part of a streamed answer; over 1 MB: 413
``GET /ping/WORKER``              `job_id`: the jobs that the worker has
``POST /run``, ``/runsync``       a client's job; ``/cancel/JOB``
``GET /status/JOB``               ``/stream/JOB``: what was streamed since the last call
``/v2/loopback/run``              likewise ``status`` and ``cancel``: as clients call it, with a key
================================  ============================================================

It does as the platform does, not as one would wish: delivery is at least once; only a job's first
result counts, but a late update overwrites it; a result over 10 MB (/runsync: 20 MB) ends as
COMPLETED without data.
"""

from tests.platform.client import Platform
from tests.platform.waiting import until
from tests.platform.worker import WorkerProcess

__all__ = ["Platform", "WorkerProcess", "until"]
