"""What rank 0 makes of the others' values, and how these come to it."""

import math
import socket
import threading

import pytest
from torch import nn

from ganwatch.core.signals import catalogue
from ganwatch.distributed.ranks import AHEAD, Merging, Ranks, communicates, rank, reduced
from ganwatch.distributed.transport import Inlet, Outlet


def steps(*numbers, **values):
    return [(number, dict(values) or {"loss/g": 1.0}, 0.0) for number in numbers]


def numbers(complete):
    return [(step, values["ranks"]) for step, values, _ in complete]


@pytest.mark.parametrize(
    ("series", "ranks", "whole"),
    [
        ("loss/g", (1.0, math.nan), math.nan),
        ("loss/g", (math.inf, -math.inf), math.nan),
        ("grad_norm/g", (2.0, 2.0), 2.0),
        ("output_gradient/g", (3.0, math.sqrt(41.0)), 5.0),
        ("output_gradient/g", (1e200, 1e200), math.inf),
        ("batch_size/real", (8.0, 4.0), 12.0),
        ("updates/d", (5.0, 5.0), 5.0),
        ("data_min/real", (math.nan, -1.0), -1.0),
        ("data_max/real", (math.inf, 2.0), math.inf),
        ("data_nonfinite/real", (0.5, 0.0), 0.25),
        ("observer_errors", (1.0, 2.0), 3.0),
        ("my_own/series", (1.0, 3.0), 2.0),
    ],
)
def test_a_series_is_reduced_as_the_catalogue_says(series, ranks, whole):
    [(name, value)] = reduced([{series: value} for value in ranks]).items()
    assert name == series
    assert value == pytest.approx(whole, nan_ok=True)


def test_every_reduction_exists():
    for signal in catalogue().values():
        assert reduced([{signal.name: 1.0}, {signal.name: 1.0}])[signal.name] in {1.0, 2.0}


def test_a_silent_rank_is_waited_for_once_and_again_when_it_has_spoken():
    merging = Merging([1], lag=3)
    assert numbers(merging.put(steps(1, 2, 3))) == []
    assert numbers(merging.put(steps(4))) == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]
    assert numbers(merging.put(steps(5))) == [(5, 1.0)]
    merging.hear(1, [(5, {"loss/g": 3.0}), (6, {"loss/g": 3.0})])
    assert merging.put(steps(6, 7)) == [(6, {"loss/g": 2.0, "ranks": 2.0}, 0.0)]
    merging.leave(1)
    assert numbers(merging.put(steps(8))) == [(7, 1.0), (8, 1.0)]


def test_the_end_waits_for_what_is_on_its_way():
    merging = Merging([1, 2])
    merging.put(steps(1, 2))
    merging.hear(2, [(1, {"loss/g": 3.0})])
    threading.Timer(0.01, lambda: (merging.leave(2), merging.hear(1, [(2, {"loss/g": 3.0})]))).start()
    assert numbers(merging.settle(patience=60.0)) == [(1, 2.0), (2, 2.0)]


def test_memory_is_bounded_where_rank_0_does_not_step():
    merging = Merging([1])
    merging.hear(1, [(step, {}) for step in range(1, 3 * AHEAD)])
    assert len(merging._heard[1]) == AHEAD


def test_one_process_is_not_touched():
    class Through:
        def put(self, step, values, wall_time):
            return [(step, values, wall_time)]

        def flush(self):
            return []

    ranks = Ranks(Through(), lambda step, values: values.update(more=1.0))
    ranks.join()
    assert ranks.put(1, {"loss/g": 1.0}, 0.0) == [(1, {"loss/g": 1.0, "more": 1.0}, 0.0)]
    assert (ranks.rank, ranks.size, ranks.flush()) == (0, 1, [])
    ranks.close()


def test_a_rank_is_known_from_the_environment(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert rank() == 1
    monkeypatch.setenv("RANK", "9")
    assert rank() == 9
    monkeypatch.setenv("RANK", "any")
    assert rank() == 0


def test_what_is_sharded_or_wrapped_communicates():
    class Sharded(nn.Linear):
        __module__ = "torch.distributed.fsdp"

    class Model(nn.Sequential):
        pass

    assert communicates(Model(nn.ReLU(), Sharded(2, 1)))
    assert not communicates(Model(nn.Linear(2, 2), nn.SyncBatchNorm(2)))


def test_a_stranger_is_sent_away_and_a_rank_that_dies_has_left():
    heard, left = [], threading.Event()
    inlet = Inlet("localhost", 1, lambda *message: heard.append(message), lambda rank: left.set())
    _, port, word = inlet.address
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b'guess 1\n{"loss/g": 0.0}\n')
        assert stranger.recv(1) == b""
    with socket.create_connection(("127.0.0.1", port)) as dying:
        dying.sendall(f'{word} 1\n{{"loss/g": 0.5}}\n{{"loss'.encode())
    assert left.wait(60.0)
    assert heard == [(1, {"loss/g": 0.5})]
    inlet.close()


def test_a_rank_whose_listener_is_gone_is_silent(capfd):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = ("localhost", gone.getsockname()[1], "word")
    outlet = Outlet(1, lambda: address)
    outlet.send({"loss/g": 0.5})
    outlet.close(patience=60.0)
    assert not outlet._thread.is_alive()
    assert capfd.readouterr() == ("", "")
