"""Connections between nodes under TLS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.transports import Node, linked
from tests.support.waiting import eventually


def tls_contexts(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server and client contexts that trust one self-signed certificate, both ways."""
    key, certificate = str(directory / "key.pem"), str(directory / "certificate.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=node"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=certificate)
    for context in (server, client):
        context.load_cert_chain(certificate, key)
    return server, client


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
async def test_tls_both_ways_and_no_plain_text(tmp_path: Path) -> None:
    contexts = tls_contexts(tmp_path)
    async with Node("a", ssl_contexts=contexts) as a, Node("b", ssl_contexts=contexts) as b:
        await linked(a, b)
        blob = b"x" * 3_000_000
        assert a.transport.send("b", blob)
        await eventually(lambda: b.messages == [("a", blob)])
        async with Node("plain") as plain:
            plain.transport.set_peers({"b": b.address})
            b.transport.set_peers({"a": a.address, "plain": plain.address})
            await eventually(lambda: b.transport._log._failures.get("plain"))
            await eventually(lambda: plain.transport._log._failures.get("b"))
            assert not plain.transport.connected("b")
            assert not b.transport.connected("plain")
