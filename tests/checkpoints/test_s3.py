"""Copies in an object store with the API of S3, which refuses, is slow, and dies in the middle of an upload."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import boto3
import pytest
import s3fs
import torch
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

import ganwatch
from ganwatch.checkpoints.copies import CheckpointStorage
from ganwatch.checkpoints.folder import load_checkpoint
from ganwatch.checkpoints.guard import CheckpointGuard
from ganwatch.checkpoints.manifest import CheckpointError, Manifest
from ganwatch.checkpoints.read_back import describe_checkpoint

pytestmark = [pytest.mark.service, pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore|aiobotocore|moto")]
REFUSED = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'


class Server:
    """A server of moto on 127.0.0.1, whose answers to writes can be held back."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.refusals = 0
        """Writes that are still refused."""
        self.reached, self.gate = threading.Event(), threading.Event()
        self.held = ""
        """End of the path whose write waits for ``gate``, after ``reached`` is set."""
        self.gate.set()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __call__(self, environ, start_response):
        is_write = environ["REQUEST_METHOD"] in {"PUT", "POST"}
        if is_write and self.held and environ["PATH_INFO"].endswith(self.held):
            self.reached.set()
            self.gate.wait(30.0)
        if is_write and self.refusals:
            self.refusals -= 1
            start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(REFUSED)))])
            return [REFUSED]
        return self._app(environ, start_response)

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    started = Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", started.url)
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield started
    started.close()


def make_guard(tmp_path, url="s3://bucket/run", pauses=(0.0, 0.0, 0.0)):
    return CheckpointGuard(tmp_path / "saved", pauses=pauses, read_back=describe_checkpoint, storage=CheckpointStorage(url))


def save(guard, step):
    guard.save({"G": {"weight": torch.full((3,), float(step))}}, Manifest(step, {"G": step}, {}))
    assert guard.wait()
    return [one.fault for one in guard.take_results()]


def loaded():
    return float(load_checkpoint("s3://bucket/run")["G"]["weight"][0])


def test_a_store_that_refuses_gets_it_with_a_further_attempt(server, tmp_path):
    guard = make_guard(tmp_path)
    server.refusals = 2
    assert save(guard, 1) == [""]
    assert loaded() == 1.0
    guard.close()


def test_a_slow_store_holds_nobody_up_and_the_newest_counts(server, tmp_path):
    guard = make_guard(tmp_path)
    assert save(guard, 1) == [""]
    server.held = "step-2/manifest.json"
    server.gate.clear()
    for step in (2, 3, 4):
        guard.save({"G": {"weight": torch.full((3,), float(step))}}, Manifest(step, {"G": step}, {}))
        if step == 2:
            assert server.reached.wait(60.0)
    assert loaded() == 1.0  # that of step 2 has no manifest yet
    server.gate.set()
    assert guard.wait()
    assert loaded() == 4.0
    guard.close()


def test_a_process_that_is_killed_within_an_upload_leaves_the_copy_of_before(server, tmp_path):
    server.held = "step-2/manifest.json"
    context = torch.multiprocessing.get_context("spawn")
    server.gate.clear()
    child = context.Process(target=_save_two, args=(tmp_path,))
    child.start()
    assert server.reached.wait(120.0)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    server.held = ""
    assert loaded() == 1.0
    server.gate.set()


def _save_two(tmp_path):
    guard = make_guard(tmp_path)
    for step in (1, 2):
        save(guard, step)


@pytest.mark.parametrize("kind", ["missing bucket", "wrong endpoint"])
def test_a_store_that_is_not_there_is_one_sentence_and_training_goes_on(server, tmp_path, monkeypatch, kind):
    if kind == "wrong endpoint":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        s3fs.S3FileSystem.clear_instance_cache()
    guard = make_guard(tmp_path, "s3://nowhere/run", pauses=())
    faults = save(guard, 1)
    assert len(faults) == 2
    [fault] = filter(None, faults)
    assert fault.startswith("not copied: ")
    assert "hunter2" not in fault
    assert "\n" not in fault
    assert float(load_checkpoint(guard.folder.path)["G"]["weight"][0]) == 1.0
    guard.close()
    with pytest.raises(CheckpointError, match="path must be a storage that can be read, got s3://nowhere/run"):
        load_checkpoint("s3://nowhere/run")


def test_a_watched_loop_copies(server, tmp_path):
    g, d = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    with ganwatch.watch(G=g, D=d, store=None) as watching:
        watching.checkpoint(tmp_path / "saved", {"G": g}, copy_to="s3://bucket/run")
    assert torch.equal(load_checkpoint("s3://bucket/run")["G"]["weight"], g.weight)
