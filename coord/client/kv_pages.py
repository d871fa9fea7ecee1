"""Ranges that are too large for one answer, read in pages at one revision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from coord.client.errors import InvalidArgumentError
from coord.rpc.gen import etcd_rpc_pb2 as pb

FIRST_PAGE_KEYS: Final = 5_000

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
