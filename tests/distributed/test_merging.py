"""Rank 0 merges the values of all ranks, and values reach it whatever happens to the others."""

import math
import socket
import threading
from contextlib import ExitStack

import pytest
from torch import nn

from ganwatch.core.signals import catalogue
from ganwatch.distributed import transport
from ganwatch.distributed.exchange import RankExchange
from ganwatch.distributed.merging import MAX_STEPS_AHEAD, RankMerger, reduce_ranks
from ganwatch.distributed.rank_detection import current_rank, is_distributed
from ganwatch.distributed.transport import MAX_HANDSHAKES, MessageClient, MessageServer

SECONDS = 60.0
"""Longest wait for another thread; reached only where a test fails."""


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
        ("updates_performed/d", (5.0, 5.0), 5.0),
        ("data_min/real", (math.nan, -1.0), -1.0),
        ("data_min/real", (-1.0, -2.0), -2.0),
        ("data_max/real", (math.inf, 2.0), math.inf),
        ("data_max/real", (math.nan, 2.0), 2.0),
        ("data_max/real", (2.0, math.nan), 2.0),
        ("data_max/real", (math.nan, math.nan), math.nan),
        ("data_min/real", (-1.0, math.nan), -1.0),
        ("data_nonfinite/real", (0.5, 0.0), 0.25),
        ("observer_errors", (1.0, 2.0), 3.0),
        ("my_own/series", (1.0, 3.0), 2.0),
    ],
)
def test_a_series_is_reduced_as_the_catalogue_says(series, ranks, whole):
    [(name, value)] = reduce_ranks([{series: value} for value in ranks]).items()
    assert name == series
    assert value == pytest.approx(whole, nan_ok=True)


def test_every_reduction_exists():
    for signal in catalogue().values():
        assert reduce_ranks([{signal.name: 1.0}, {signal.name: 1.0}])[signal.name] in {1.0, 2.0}


def test_a_silent_rank_is_waited_for_once_and_again_after_it_has_sent():
    merger = RankMerger([1], lag=3)
    assert numbers(merger.add_local(steps(1, 2, 3))) == []
    assert numbers(merger.add_local(steps(4))) == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]
    assert numbers(merger.add_local(steps(5))) == [(5, 1.0)]
    merger.add_remote(1, [(5, {"loss/g": 3.0}), (6, {"loss/g": 3.0})])
    assert merger.add_local(steps(6, 7)) == [(6, {"loss/g": 2.0, "ranks": 2.0}, 0.0)]
    merger.remove_rank(1)
    assert numbers(merger.add_local(steps(8))) == [(7, 1.0), (8, 1.0)]


def test_the_end_waits_for_messages_on_their_way():
    waiting = threading.Event()

    class Announced(threading.Condition):
        def wait(self, timeout=None):
            waiting.set()  # whoever acquires the lock next does so after the wait has begun
            return super().wait(timeout)

    def send_late():
        assert waiting.wait(SECONDS)
        merger.remove_rank(2)
        merger.add_remote(1, [(2, {"loss/g": 3.0})])

    merger = RankMerger([1, 2])
    merger._changed = Announced()
    merger.add_local(steps(1, 2))
    merger.add_remote(2, [(1, {"loss/g": 3.0})])
    sender = threading.Thread(target=send_late)
    sender.start()
    assert numbers(merger.merge_rest(timeout=SECONDS)) == [(1, 2.0), (2, 2.0)]
    sender.join()


def test_the_last_step_does_not_wait_for_a_slower_rank_any_more():
    merger = RankMerger([1, 2], lag=3)
    assert merger.add_local(steps(1, 2)) == []
    merger.add_remote(2, [(1, {"loss/g": 3.0})])
    assert numbers(merger.merge_rest(timeout=0.0)) == [(1, 2.0), (2, 1.0)]
    assert merger.merge_rest(timeout=SECONDS) == []
    merger = RankMerger([1])
    merger.add_local(steps(1))
    assert numbers(merger.merge_rest(timeout=0.0)) == [(1, 1.0)]


def test_a_hundred_later_steps_are_waited_for_unless_said_otherwise():
    merger = RankMerger([1])
    assert merger.add_local(steps(*range(1, 101))) == []
    assert numbers(merger.add_local(steps(101)))[0] == (1, 1.0)
    assert MAX_STEPS_AHEAD == 1000


def test_memory_is_bounded_where_rank_0_does_not_step():
    merger = RankMerger([1])
    merger.add_remote(1, [(step, {}) for step in range(1, 3 * MAX_STEPS_AHEAD)])
    assert len(merger._received[1]) == MAX_STEPS_AHEAD


def test_one_process_is_not_touched():
    class Through:
        def put(self, step, values, wall_time):
            return [(step, values, wall_time)]

        def flush(self):
            return []

    ranks = RankExchange(Through(), lambda step, values: values.update(more=1.0))
    ranks.connect()
    assert ranks.put(1, {"loss/g": 1.0}, 0.0) == [(1, {"loss/g": 1.0, "more": 1.0}, 0.0)]
    assert (ranks.rank, ranks.size, ranks.flush()) == (0, 1, [])
    ranks.close()


def test_a_rank_is_known_from_the_environment(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert current_rank() == 1
    monkeypatch.setenv("RANK", "9")
    assert current_rank() == 9
    monkeypatch.setenv("RANK", "any")
    assert current_rank() == 0


def test_a_sharded_or_wrapped_network_is_distributed():
    class Sharded(nn.Linear):
        __module__ = "torch.distributed.fsdp"

    class Model(nn.Sequential):
        pass

    assert is_distributed(Model(nn.ReLU(), Sharded(2, 1)))
    assert not is_distributed(Model(nn.Linear(2, 2), nn.SyncBatchNorm(2)))


def test_a_stranger_is_sent_away_and_a_rank_that_dies_has_left():
    heard, left = [], threading.Event()
    server = MessageServer("localhost", 1, lambda *message: heard.append(message), lambda rank: left.set())
    _, port, word = server.address
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"guess 1\n")
        assert stranger.recv(1) == b""
    with socket.create_connection(("127.0.0.1", port)) as dying:
        dying.sendall(f'{word} 1\n{{"loss/g": 0.5}}\n{{"loss'.encode())
    assert left.wait(SECONDS)
    assert heard == [(1, {"loss/g": 0.5})]
    server.close()


def test_strangers_that_are_silent_or_slow_keep_no_rank_waiting():
    heard, left = [], threading.Event()
    server = MessageServer("localhost", 1, lambda *message: heard.append(message), lambda rank: left.set())
    _, port, word = server.address
    with ExitStack() as strangers:
        for _ in range(3 * MAX_HANDSHAKES):
            strangers.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(b"g")
        with socket.create_connection(("127.0.0.1", port)) as rank:
            rank.sendall(f'{word} 1\n{{"loss/g": 0.5}}\n'.encode())
        assert left.wait(transport.HANDSHAKE_TIMEOUT - 1.0)  # before the first stranger is given up
    assert heard == [(1, {"loss/g": 0.5})]
    server.close()


def test_a_stranger_that_sends_a_byte_now_and_then_is_sent_away_in_time(monkeypatch):
    monkeypatch.setattr(transport, "HANDSHAKE_TIMEOUT", 0.2)
    server = MessageServer("localhost", 1, lambda *_: None, lambda _: None)
    with socket.create_connection(("127.0.0.1", server.address[1])) as stranger:
        stranger.settimeout(0.02)
        sent = 0
        while sent < 90:  # fewer than a greeting may have
            try:
                stranger.sendall(b"g")
                sent += 1
                assert stranger.recv(1) == b""
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert sent < 90
    server.close()


def test_a_rank_whose_listener_is_gone_is_silent(capfd):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = ("localhost", gone.getsockname()[1], "word")
    client = MessageClient(1, lambda: address)
    client.send({"loss/g": 0.5})
    client.close(timeout=SECONDS)
    assert not client._thread.is_alive()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "message",
    [None, 3, [[1]], [[1, 3]], [["a", {}]], [[-1, {}]], [[1, {"loss/g": "x"}]], [[1, {"loss/g": [1]}]], [[1, {"loss/g": 10**400}]],
        [[True, {}]], {"a": 1}],
)
def test_a_message_of_another_shape_is_refused_and_changes_nothing(message):
    merger = RankMerger([1])
    with pytest.raises(ValueError, match="must be"):
        merger.add_remote(1, message)
    with pytest.raises(ValueError, match=r"rank must be one of \[1\], got 7"):
        merger.add_remote(7, [])
    assert merger.add_local([(1, {"loss/g": 1.0}, 0.0)]) + merger.merge_rest(0.0) == [(1, {"loss/g": 1.0, "ranks": 1.0}, 0.0)]


@pytest.mark.parametrize("line", [b"[" * 100_000, b"x" * 2000, b"{}", b"\xff"])
def test_a_rank_that_sends_anything_else_ends(line, monkeypatch):
    monkeypatch.setattr(transport, "MAX_MESSAGE_LENGTH", 1000 if line.startswith(b"x") else 2**24)
    ended, merger = threading.Event(), RankMerger([1])
    server = MessageServer("localhost", 1, merger.add_remote, lambda _rank: ended.set())
    try:
        with socket.create_connection(("127.0.0.1", server.address[1]), timeout=10) as connection:
            connection.sendall(f"{server.address[2]} 1\n".encode() + line + b"\n")
            assert ended.wait(10)
    finally:
        server.close()
