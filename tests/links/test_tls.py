"""TLS towards Janus: verified by default, and a clear text for each way to fail (contract 3.2, 5.1)."""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bridge.core.connection import Reports, WebSocket
from bridge.protocol.gateway import Gateway
from bridge.transport.janus_connect import open_and_run
from bridge.transport.tls import client_context
from tests.support.certs import Certificates
from tests.support.fake_janus import open_fake_janus
from tests.support.janus import Janus
from tests.support.linkbed import LinkBed, running

Factory = Callable[..., Janus]


def bed_with(ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> LinkBed:
    """A bed that makes its context at each connect, as the bridge does: files may change."""
    bed = LinkBed()
    names = [None if path is None else str(path) for path in (ca, cert, key)]

    async def connect(gateway: Gateway, reports: Reports, opened: Callable[[WebSocket], None], _socket: int) -> str:
        assert gateway.url is not None
        tls = client_context(*names) if gateway.url.tls else None
        return await open_and_run(gateway.url, replace(bed.options, tls=tls), reports, opened, bed.batch)

    bed.connector = connect
    return bed


async def error_with(bed: LinkBed, url: str) -> str:
    async with running(bed, {"gw": url}):
        link = bed.registry.find("gw")
        await bed.until(lambda: link.last_error is not None)
        assert link.shown_state in ("backoff", "connecting")
        return link.last_error or ""


async def test_private_authority_and_claim(janus_factory: Factory, certificates: Certificates) -> None:
    server = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    async with running(bed_with(certificates.ca), {"gw": server.url}) as bed:
        link = await bed.ready()
        handle = await bed.attach()
        answer = await bed.message(handle, {"do": "big", "size": 1_000_000})
        assert len(answer["plugindata"]["data"]["pad"]) == 1_000_000
        link.reconnect()
        await bed.until(lambda: link.reconnects == 1)
        await bed.echo(handle)
    # By its name, too.
    by_name = server.url.replace("127.0.0.1", "localhost")
    async with running(bed_with(certificates.ca), {"gw": by_name}) as bed:
        await bed.ready()


async def test_what_is_not_verified_is_not_used(
    janus_factory: Factory, janus: Janus, certificates: Certificates
) -> None:
    server = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    unknown = "TLS: the certificate is not accepted: "
    assert (await error_with(bed_with(), server.url)).startswith(unknown + "unable to get local issuer certificate")
    assert (await error_with(bed_with(certificates.stranger_ca), server.url)).startswith(unknown)
    assert await error_with(bed_with(certificates.ca), janus.url.replace("janusws:", "januswss:")) == (
        "TLS: wrong version number: is this a TLS port?"
    )
    assert await error_with(bed_with(), server.url.replace("januswss:", "janusws:")) == (
        "the peer closed the connection instead of upgrading to WebSocket"
    )


async def test_certificate_of_another_name_is_not_used(tmp_path: Path) -> None:
    authority, ca = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(context)
    async with open_fake_janus(tls=context) as fake:
        assert await error_with(bed_with(ca), fake.url) == (
            "TLS: the certificate is not accepted: IP address mismatch, certificate is not valid for '127.0.0.1'."
        )


async def test_without_a_context_a_januswss_url_is_verified_all_the_same(
    janus_factory: Factory, certificates: Certificates
) -> None:
    server = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    assert "certificate is not accepted" in await error_with(LinkBed(), server.url)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
async def test_client_certificate_is_shown_where_it_is_asked_for(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = certificates.server_context()
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    mine = bed_with(certificates.ca, certificates.client_cert, certificates.client_key)
    async with open_fake_janus(tls=context) as fake, running(mine, {"gw": fake.url}) as bed:
        await bed.ready()
    async with strict_server(context) as url:
        error = await error_with(bed_with(certificates.ca), url)
        assert error.startswith("TLS: "), error
        assert "handshake failure" in error or "certificate required" in error, error


@asynccontextmanager
async def strict_server(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Says in TLS what it does not like, which trio's server side does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # shut down
                    return
                with context.wrap_socket(client, server_side=True, do_handshake_on_connect=False) as tls:
                    with suppress(ssl.SSLError):
                        tls.do_handshake()
                    while socket.socket.recv(tls, 65536):  # closing with unread bytes would be a reset
                        pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, accept)
            yield f"januswss://127.0.0.1:{listener.getsockname()[1]}"
            listener.shutdown(socket.SHUT_RDWR)


async def test_each_bad_file_is_named(certificates: Certificates, tmp_path: Path) -> None:
    missing, nonsense, encrypted = tmp_path / "missing.pem", tmp_path / "nonsense.pem", tmp_path / "encrypted.pem"
    nonsense.write_text("nothing of that kind\n")
    ca, cert, key = certificates.ca, certificates.client_cert, certificates.client_key
    private = load_pem_private_key(key.read_bytes(), None)
    encryption = BestAvailableEncryption(b"secret")
    encrypted.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    for files, text in {
        (missing, None, None): f"tls_ca {missing}: No such file or directory",
        (nonsense, None, None): f"tls_ca {nonsense}: there is no certificate in it (PEM is wanted)",
        (ca, missing, key): f"tls_cert {missing}, tls_key {key}: No such file or directory",
        (ca, nonsense, key): f"tls_cert {nonsense}, tls_key {key}: ",
        (ca, cert, nonsense): f"tls_cert {cert}, tls_key {nonsense}: ",
        (
            ca,
            cert,
            certificates.key,
        ): f"tls_cert {cert}, tls_key {certificates.key}: the key does not belong to the certificate",
        (ca, cert, None): f"tls_cert {cert}, tls_key {cert}: ",
        (ca, cert, encrypted): "the key is encrypted",
    }.items():
        error = await error_with(bed_with(*files), "januswss://127.0.0.1:1")
        assert text in error, (files, error)
        assert "\n" not in error


async def test_file_that_is_mended_is_used_at_the_next_attempt(
    janus_factory: Factory, certificates: Certificates, tmp_path: Path
) -> None:
    server = janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)
    ca = tmp_path / "ca.pem"
    async with running(bed_with(ca), {"gw": server.url}) as bed:
        await bed.until(lambda: bed.registry.find("gw").last_error is not None)
        ca.write_bytes(certificates.ca.read_bytes())
        await bed.ready()
