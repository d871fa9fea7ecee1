"""Reads and deletions of more keys than a node takes at once, in pages.

A read in pages shows the keys at one revision. A deletion in pages is not one step: others may see,
and change, the keys in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from coord.client.transport.errors import InvalidArgumentError
from coord.client.types import RangeResult
from coord.pb import etcd_rpc_pb2 as pb

FIRST_PAGE_KEYS: Final = 5_000
DELETED_AT_ONCE: Final = 500

Ask = Callable[[pb.RangeRequest], Awaitable[pb.RangeResponse]]


def can_be_paged(request: pb.RangeRequest) -> bool:
    """Whether pages of it make the whole: keys in their order, and not only counted."""
    in_order = request.sort_order == pb.RangeRequest.NONE
    return bool(request.range_end) and in_order and not request.count_only


def is_too_large(error: InvalidArgumentError) -> bool:
    """Whether the node says that what was asked for does not fit in one answer."""
    return error.reason in ("TOO_LARGE", "MESSAGE_TOO_LARGE")


async def read_in_pages(ask: Ask, request: pb.RangeRequest) -> pb.RangeResponse:
    """The whole range, from answers to smaller questions. All pages show the keys as they were at
    the revision of the first. Raises RevisionError if that is compacted meanwhile."""
    whole = pb.RangeResponse()
    page = pb.RangeRequest()
    page.CopyFrom(request)
    most = FIRST_PAGE_KEYS
    while True:
        left = request.limit - len(whole.kvs) if request.limit else most
        page.limit = min(most, left)
        try:
            reply = await ask(page)
        except InvalidArgumentError as error:
            if not is_too_large(error) or page.limit == 1:
                raise
            most = max(1, page.limit // 4)
            continue
        if not whole.kvs:
            whole.header.CopyFrom(reply.header)
            whole.count = reply.count
        whole.kvs.extend(reply.kvs)
        if not reply.more or len(whole.kvs) == request.limit:
            whole.more = reply.more
            return whole
        page.key = reply.kvs[-1].key + b"\0"
        page.revision = request.revision or whole.header.revision
        page.serializable = False  # another node may not have got to this revision yet


async def delete_in_pages(
    read_keys: Callable[[bytes, int], Awaitable[RangeResult]],
    delete: Callable[[bytes, bytes], Awaitable[int]],
    first: bytes,
) -> int:
    """Delete what `read_keys` (from which key on, how many) shows; how many there were."""
    deleted = 0
    while True:
        page = await read_keys(first, DELETED_AT_ONCE)
        if not page.kvs:
            return deleted
        end = page.kvs[-1].key + b"\0"
        deleted += await delete(first, end)
        if not page.more:
            return deleted
        first = end
