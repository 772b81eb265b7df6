"""Where requests are found on the stacks of threads, and what of a stack is theirs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread, get_ident
from types import CodeType
from typing import Any
from weakref import finalize

import pytest
from flask import Flask

from fmd_admin.collect.frames import Frames
from fmd_admin.collect.stacks import Entry, Stack, Stacks
from fmd_admin.collect.watching import WatchedExchange

from .watched import Watched, call, until


def exchange(body: Any = None) -> WatchedExchange:
    # No thread looks on: the watcher is closed.
    watched = Watched(3)
    watched.watch.close()
    made = watched.begin()
    made.body, made.ticket = body, 0
    return made


@pytest.fixture
def stacks() -> Stacks:
    return Stacks(
        Frames(),
        call=call.__code__,
        send=WatchedExchange._send.__code__,
        close=WatchedExchange.close.__code__,
    )


class Stuck:
    """A place where a thread waits until it is let go."""

    def __init__(self) -> None:
        self.is_there = Event()
        self._go = Event()

    def here(self) -> None:
        self.is_there.set()
        self._go.wait()

    def let_go(self) -> None:
        self._go.set()


@contextmanager
def stuck_in(function: Callable[[Stuck], object]) -> Iterator[int]:
    """Run ``function`` in a thread until it is stuck; gives the thread."""
    stuck = Stuck()
    thread = Thread(target=function, args=(stuck,))
    thread.start()
    try:
        assert stuck.is_there.wait(10)
        assert thread.ident is not None
        yield thread.ident
    finally:
        stuck.let_go()
        thread.join()


def names(stack: Stack) -> list[str]:
    """The functions on a stack up to the place where it is stuck."""
    found = [code.co_name for code, _, _ in stack]
    return found[: found.index("here")] if "here" in found else found


def found_in(
    stacks: Stacks, thread: int, wanted: list[WatchedExchange]
) -> list[tuple[WatchedExchange, list[str]]]:
    return [
        (one, names(stack)) for one, stack in stacks.find(thread, wanted, sys._current_frames())
    ]


def test_a_stack_begins_below_the_collectors_call(stacks: Stacks) -> None:
    one = exchange()

    def helper(stuck: Stuck) -> None:
        stuck.here()

    def view(stuck: Stuck) -> None:
        helper(stuck)

    def server(stuck: Stuck) -> None:
        call(one, lambda: view(stuck))

    with stuck_in(server) as thread:
        assert found_in(stacks, thread, [one]) == [(one, ["<lambda>", "view", "helper"])]
        # Not asked for, in another thread, or over.
        assert found_in(stacks, thread, [exchange()]) == []
        assert found_in(stacks, -1, [one]) == []
    assert found_in(stacks, thread, [one]) == []


def test_a_request_within_a_request(stacks: Stacks) -> None:
    outer, inner = exchange(), exchange()

    def inner_view(stuck: Stuck) -> None:
        stuck.here()

    def outer_view(stuck: Stuck) -> None:
        call(inner, lambda: inner_view(stuck))

    with stuck_in(lambda stuck: call(outer, lambda: outer_view(stuck))) as thread:
        found = found_in(stacks, thread, [outer, inner])
        assert [one for one, _ in found] == [inner, outer]
        assert found[0][1] == ["<lambda>", "inner_view"]
        assert found[1][1] == ["<lambda>", "outer_view", "call", "<lambda>", "inner_view"]
        assert found_in(stacks, thread, [outer]) == [found[1]]


def test_a_generator_that_the_server_iterates(stacks: Stacks) -> None:
    def chunk(stuck: Stuck) -> bytes:
        stuck.here()
        return b""

    def chunks(stuck: Stuck) -> Iterator[bytes]:
        yield chunk(stuck)

    one = exchange()

    def server(stuck: Stuck) -> None:
        one.body = chunks(stuck)
        list(one)

    with stuck_in(server) as thread:
        assert found_in(stacks, thread, [one]) == [(one, ["chunks", "chunk"])]
        assert found_in(stacks, thread, [exchange(iter([b""]))]) == []


def test_streams_that_one_thread_sends_in_turn(stacks: Stacks) -> None:
    """Iterators of the same kind, neither within the other."""
    one, other = exchange(), exchange()

    def chunk(stuck: Stuck, here: bool) -> bytes:
        if here:
            stuck.here()
        return b""

    def server(stuck: Stuck) -> None:
        # Not even Python's own: what calls the host's function is not on the stack.
        one.body = map(chunk, [stuck] * 2, [False, False])
        other.body = map(chunk, [stuck] * 2, [False, True])
        for _ in zip(one, other, strict=True):
            pass

    with stuck_in(server) as thread:
        assert found_in(stacks, thread, [one, other]) == [(other, ["chunk"])]


def test_a_stream_within_a_stream(stacks: Stacks) -> None:
    outer, inner = exchange(), exchange()

    def inner_chunks(stuck: Stuck) -> Iterator[bytes]:
        stuck.here()
        yield b""

    def outer_chunks(stuck: Stuck) -> Iterator[bytes]:
        inner.body = inner_chunks(stuck)
        yield from inner

    def server(stuck: Stuck) -> None:
        outer.body = outer_chunks(stuck)
        list(outer)

    with stuck_in(server) as thread:
        [(first, first_names), (second, second_names)] = found_in(stacks, thread, [outer, inner])
        assert (first, first_names) == (inner, ["inner_chunks"])
        assert (second, second_names) == (outer, ["outer_chunks", "_send", "inner_chunks"])


def test_the_call_of_another_app_is_not_ours(stacks: Stacks) -> None:
    """Two apps of one process have the same code; only one asks."""
    own, others = exchange(), exchange()

    def server(stuck: Stuck) -> None:
        call(own, lambda: call(others, stuck.here))

    with stuck_in(server) as thread:
        assert found_in(stacks, thread, [own]) == [(own, ["<lambda>", "call"])]
        assert found_in(stacks, thread, [others]) == [(others, [])]


def test_no_frame_is_kept_and_nothing_of_the_host_lives_longer(stacks: Stacks) -> None:
    class Big:
        pass

    one = exchange()
    died: list[int] = []

    def view(stuck: Stuck) -> None:
        big = Big()
        finalize(big, lambda: died.append(get_ident()))
        stuck.here()

    with stuck_in(lambda stuck: call(one, lambda: view(stuck))) as thread:
        found = list(stacks.find(thread, [one], sys._current_frames()))
        assert len(found) == 1
    # In the thread of the request, although what was found is still there.
    assert died == [thread]


def test_an_iterator_of_the_hosts_own_kind(stacks: Stacks) -> None:
    class Body:
        def __init__(self, stuck: Stuck) -> None:
            self.stuck = stuck

        def __iter__(self) -> Body:
            return self

        def __next__(self) -> bytes:
            self.read()
            raise StopIteration

        def read(self) -> None:
            self.stuck.here()

    one = exchange()

    def server(stuck: Stuck) -> None:
        one.body = Body(stuck)
        list(one)

    with stuck_in(server) as thread:
        assert found_in(stacks, thread, [one]) == [(one, ["__next__", "read"])]


def test_a_body_that_is_being_closed(stacks: Stacks) -> None:
    class Body(list[bytes]):
        stuck: Stuck

        def close(self) -> None:
            self.stuck.here()

    one = exchange()

    def server(stuck: Stuck) -> None:
        one.body = body = Body()
        body.stuck = stuck
        one.close()

    with stuck_in(server) as thread:
        assert found_in(stacks, thread, [one]) == [(one, ["close"])]


def test_an_async_view_runs_in_another_thread(stacks: Stacks) -> None:
    from asgiref.sync import async_to_sync

    one = exchange()
    stuck = Stuck()

    async def helper() -> None:
        stuck.here()

    async def view() -> None:
        await helper()

    thread = Thread(target=lambda: call(one, lambda: async_to_sync(view)()))
    thread.start()
    try:
        assert stuck.is_there.wait(10)
        assert thread.ident is not None
        [(_, found)] = found_in(stacks, thread.ident, [one])
        assert found[-2:] == ["view", "helper"]
    finally:
        stuck.let_go()
        thread.join()


def test_an_async_view_that_waits(stacks: Stacks) -> None:
    import asyncio

    from asgiref.sync import async_to_sync

    one = exchange()
    events: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def helper() -> None:
        event = asyncio.Event()
        events.append((asyncio.get_running_loop(), event))
        await event.wait()

    async def view() -> None:
        await helper()

    thread = Thread(target=lambda: call(one, lambda: async_to_sync(view)()))
    thread.start()
    try:
        until(lambda: events)

        def is_waiting() -> bool:
            assert thread.ident is not None
            found = found_in(stacks, thread.ident, [one])
            return bool(found) and found[0][1][-3:] == ["view", "helper", "wait"]

        until(is_waiting)
    finally:
        events[0][0].call_soon_threadsafe(events[0][1].set)
        thread.join()


def line(file: str, name: str = "f") -> Entry:
    module = compile(f"def {name}(): pass", file, "exec")
    code = next(const for const in module.co_consts if isinstance(const, CodeType))
    return code, 0, None


OWN = line("/srv/shop/views.py", "own")
LIBRARY = line("/venv/site-packages/lib/x.py", "library")
WSGI: Entry = (Flask.wsgi_app.__code__, 0, None)
DISPATCH: Entry = (Flask.dispatch_request.__code__, 0, None)
BEFORE: Entry = (Flask.preprocess_request.__code__, 0, None)


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ([WSGI, DISPATCH, OWN, LIBRARY, OWN], [OWN, LIBRARY, OWN]),
        # A decorator of a library around the host's view is above its code.
        ([WSGI, DISPATCH, LIBRARY, OWN], [OWN]),
        ([WSGI, BEFORE, LIBRARY], [LIBRARY]),
        ([WSGI, DISPATCH, LIBRARY, LIBRARY], [LIBRARY, LIBRARY]),
        ([WSGI, DISPATCH], [DISPATCH]),
        ([WSGI, LIBRARY], [LIBRARY]),
        ([LIBRARY], [LIBRARY]),
        ([], []),
    ],
)
def test_what_of_a_stack_is_the_hosts(stacks: Stacks, stack: Stack, part: Stack) -> None:
    assert stacks.host_part(stack) == part
