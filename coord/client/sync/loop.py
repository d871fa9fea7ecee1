"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from coord.client.transport.errors import ClientClosedError, CoordError
from coord.client.transport.forks import check_same_process, forks

T = TypeVar("T")


class BlockingLoop:
    """Runs coroutines for threads that wait for them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._made_after_forks = forks()
        self._lock = threading.Lock()  # what is handed in after `close` began is never begun
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="coord-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there and wait for its end. Interrupting the wait cancels it."""
        try:
            check_same_process(self._made_after_forks)
        except ClientClosedError:
            work.close()
            raise
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a callback of the client must not make blocking calls")
        with self._lock:
            if self._closed:
                work.close()
                raise _closed()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._closed:
                raise _closed() from None
            raise
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Call a plain function there and wait for its end."""

        async def calling() -> T:
            return function()

        return self.run(calling())

    @contextlib.contextmanager
    def entered(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter an async context manager there for the time of a block. The block's own exception
        is what its caller gets, whatever leaving comes to."""
        entered = self.run(manager.__aenter__())
        try:
            yield entered
        except BaseException as error:
            with contextlib.suppress(CoordError):
                self.run(manager.__aexit__(type(error), error, error.__traceback__))
            raise
        else:
            self.run(manager.__aexit__(None, None, None))

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """What an async generator yields, which ends with the iteration."""
        try:
            while True:
                try:
                    item = self.run(_next_of(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            with contextlib.suppress(ClientClosedError):
                self.run(_end(items))

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Run `last` there, and end. Nothing happens when it has ended, or in a forked child."""
        with self._lock:
            ended, self._closed = self._closed, True
        if ended or self._made_after_forks != forks():
            if last is not None:
                last.close()
            return
        try:
            if last is not None:
                asyncio.run_coroutine_threadsafe(last, self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        leftovers = asyncio.all_tasks(self._loop)
        for task in leftovers:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())


async def _next_of(items: AsyncGenerator[T, None]) -> T:
    return await anext(items)


async def _end(items: AsyncGenerator[T, None]) -> None:
    await items.aclose()


def _closed() -> ClientClosedError:
    return ClientClosedError("the client is closed", "CLIENT_CLOSED")
