"""Uploads of files that change meanwhile."""

from collections.abc import Callable

import pytest

from client import sources
from client.errors import SourceError
from client.storage import Storage
from tests import s3_server


@pytest.mark.parametrize(
    "change", [lambda path: path.write_bytes(b"other"), lambda path: path.unlink()]
)
def test_a_file_that_changes_during_its_upload_leaves_nothing(tmp_path, change: Callable):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" * 100)
    with s3_server.moto() as url:
        keys = dict.fromkeys(("BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY"), "key")
        storage = Storage("s3://bucket/", {**keys, "BUCKET_ENDPOINT_URL": url})
        identity = sources.of_file(path).identity
        with pytest.raises(SourceError, match="has changed"):
            storage.upload(path, identity, lambda _: change(path) if path.exists() else None)
        assert s3_server.client_of(url).list_objects_v2(Bucket="bucket")["KeyCount"] == 0
