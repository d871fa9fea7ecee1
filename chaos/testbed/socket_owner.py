"""Which of some processes holds the client end of a loopback connection.

Needed because every node must be known to everybody by one address, while a partition has to tell
apart who is calling. The kernel is asked for the one socket (sock_diag(7)), which takes
microseconds; reading /proc/net/tcp takes tens of milliseconds on a busy machine. Linux only;
elsewhere every caller counts as a client."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping

CLIENTS = "clients"
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
ALL_STATES = 0xFFFFFFFF
NO_COOKIE = 0xFFFFFFFF
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, process
REQUEST = struct.Struct("=BBBBI")  # inet_diag_req_v2 up to its inet_diag_sockid
SOCKET_ID = struct.Struct("!HH4s12s4s12s")  # ports and addresses, in network order
SOCKET_ID_REST = struct.Struct("=III")  # interface and cookie
INODE_OFFSET = HEADER.size + 4 + 48 + 4 * 4  # inet_diag_msg.idiag_inode
LOOPBACK = socket.inet_aton("127.0.0.1")


def owner_of(port: int, door_port: int, pids: Mapping[str, int]) -> str:
    """The name of the process that connected from loopback `port` to `door_port`; `CLIENTS` when
    it is none of them."""
    inode = _inode(port, door_port)
    if inode:
        wanted = f"socket:[{inode}]"
        for name, pid in pids.items():
            if _has_open(pid, wanted):
                return name
    return CLIENTS


def _inode(port: int, peer_port: int) -> int:
    """Of the established loopback socket with these ports; 0 when it cannot be found."""
    body = (
        REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ALL_STATES)
        + SOCKET_ID.pack(port, peer_port, LOOPBACK, bytes(12), LOOPBACK, bytes(12))
        + SOCKET_ID_REST.pack(0, NO_COOKIE, NO_COOKIE)
    )
    header = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(0.1)
            kernel.send(header + body)
            answer = kernel.recv(4_096)
    except (AttributeError, OSError):
        return 0
    _, kind, *_ = HEADER.unpack_from(answer)
    if kind != SOCK_DIAG_BY_FAMILY:
        return 0
    inode: int = struct.unpack_from("=I", answer, INODE_OFFSET)[0]
    return inode


def _has_open(pid: int, wanted: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in reversed(names):  # connections just made have the highest numbers
        try:
            if os.readlink(f"{folder}/{name}") == wanted:
                return True
        except OSError:
            continue
    return False
