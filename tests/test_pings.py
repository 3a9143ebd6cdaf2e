"""Pings that fail: what the log says of them."""

from handler import import_sdk


def test_a_ping_that_fails_is_told_without_its_address(monkeypatch, caplog, capfd):
    import_sdk()

    from worker.pings import Pings

    monkeypatch.setenv("RUNPOD_WEBHOOK_PING", "http://127.0.0.1:9/ping/a?token=secret")
    Pings(retries=0)._send_ping()
    assert "the platform does not take pings: ConnectionError" in caplog.text
    assert "secret" not in caplog.text + "".join(capfd.readouterr())


def test_pings_name_the_jobs_in_work(platform, monkeypatch):
    import_sdk()

    from worker.pings import Pings

    class Mirror:
        def get(self) -> str:
            return "a,b"

    monkeypatch.setenv("RUNPOD_WEBHOOK_PING", f"{platform.url}/ping/a?gpu=x")
    pings = Pings()
    pings._mirror = Mirror()
    pings._send_ping()
    (record,) = platform.records("ping")
    assert record["query"]["gpu"] == "x"
    assert record["query"]["job_id"] == "a,b"
