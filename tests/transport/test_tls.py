"""TLS towards Janus: contexts from files (contract 3.2, 5.1), and what a real Janus makes of them."""

import datetime
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trustme
from cryptography.hazmat.primitives import serialization

from bridge.errors import ConnectFailed
from bridge.transport.tls import client_context, system_context
from tests.support.certs import Certificates
from tests.support.janus import Janus
from tests.support.janus_client import JanusClient


def fault(ca: Path | None = None, certificate: Path | None = None, key: Path | None = None) -> str:
    with pytest.raises(ConnectFailed) as caught:
        client_context(*(None if path is None else str(path) for path in (ca, certificate, key)))
    return caught.value.reason


async def refusal(context: ssl.SSLContext, port: int, host: str = "127.0.0.1") -> str | None:
    """Why the client refuses the server; None if it does not."""
    stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname=host)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as exc:
        cause = exc.__cause__
        assert isinstance(cause, ssl.SSLCertVerificationError)
        return cause.verify_message
    finally:
        await trio.aclose_forcefully(stream)
    return None


@pytest.fixture
def tls_janus(janus_factory: Callable[..., Janus], certificates: Certificates) -> Janus:
    return janus_factory(cert_pem=certificates.cert, cert_key=certificates.key)


# Verification


def test_verification_is_always_on(certificates: Certificates) -> None:
    for context in (
        client_context(None, None, None),
        client_context(str(certificates.ca), None, None),
        client_context(None, str(certificates.client_cert), str(certificates.client_key)),
    ):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_context_of_the_system_is_one_for_all() -> None:
    assert client_context(None, None, None) is client_context(None, None, None) is system_context()


def test_context_with_files_is_made_anew_so_that_a_reload_reads_them(certificates: Certificates) -> None:
    ca = str(certificates.ca)
    assert client_context(ca, None, None) is not client_context(ca, None, None)
    assert client_context(ca, None, None) is not system_context()


async def test_janus_whose_ca_is_configured_is_trusted(tls_janus: Janus, certificates: Certificates) -> None:
    context = client_context(str(certificates.ca), None, None)
    assert await refusal(context, tls_janus.port) is None
    assert await refusal(context, tls_janus.port, "localhost") is None
    async with JanusClient.open(tls_janus, tls=context) as client:
        assert (await client.info())["janus"] == "server_info"


async def test_any_other_is_not(tls_janus: Janus, certificates: Certificates) -> None:
    assert "unable to get local issuer" in str(await refusal(client_context(None, None, None), tls_janus.port))
    stranger = client_context(str(certificates.stranger_ca), None, None)
    assert "unable to get local issuer" in str(await refusal(stranger, tls_janus.port))


async def test_configured_ca_is_the_only_one(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """``tls_ca`` stands in the place of the system's authorities, not beside them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))  # now an authority of the system
    own = {str(entry) for entry in client_context(str(certificates.stranger_ca), None, None).get_ca_certs()}
    assert len(own) == 1
    assert not own & {str(entry) for entry in ssl.create_default_context().get_ca_certs()}


async def test_name_of_the_host_counts(tls_janus: Janus, certificates: Certificates) -> None:
    context = client_context(str(certificates.ca), None, None)
    assert "mismatch" in str(await refusal(context, tls_janus.port, "janus.example.org")).lower()


async def test_certificate_of_ours_is_shown(certificates: Certificates, nursery: trio.Nursery) -> None:
    demanding = certificates.server_context()
    demanding.load_verify_locations(certificates.ca)
    demanding.verify_mode = ssl.CERT_REQUIRED
    shown: list[str] = []

    async def serve(stream: trio.SocketStream) -> None:
        tls = trio.SSLStream(stream, demanding, server_side=True)
        await tls.do_handshake()
        shown.append(str(tls.getpeercert()))
        await tls.send_all(b"ok")

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    context = client_context(str(certificates.ca), str(certificates.client_cert), str(certificates.client_key))
    stream = trio.SSLStream(
        await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1]), context, server_hostname="127.0.0.1"
    )
    assert await stream.receive_some() == b"ok"
    assert "client@example.org" in shown[0]
    await trio.aclose_forcefully(stream)
    nursery.cancel_scope.cancel()


# Files at fault


@pytest.fixture
def rubbish(tmp_path: Path) -> Path:
    path = tmp_path / "rubbish.pem"
    path.write_text("no PEM at all\n")
    return path


def test_missing_file_is_named(certificates: Certificates, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    ca, cert, key = certificates.ca, certificates.client_cert, certificates.client_key
    assert fault(gone) == f"tls_ca {gone}: No such file or directory"
    assert fault(ca, gone, key) == f"tls_cert {gone}, tls_key {key}: No such file or directory"
    assert fault(ca, cert, gone) == f"tls_cert {cert}, tls_key {gone}: No such file or directory"


def test_file_that_is_no_pem_is_named(certificates: Certificates, rubbish: Path) -> None:
    assert fault(rubbish) == f"tls_ca {rubbish}: there is no certificate in it (PEM is wanted)"
    cert = certificates.client_cert
    assert fault(None, rubbish).startswith(f"tls_cert {rubbish}, tls_key {rubbish}: ")
    assert fault(None, cert, rubbish).startswith(f"tls_cert {cert}, tls_key {rubbish}: ")


def test_key_of_another_certificate_is_named(certificates: Certificates) -> None:
    cert, key = certificates.client_cert, certificates.key
    assert fault(None, cert, key) == f"tls_cert {cert}, tls_key {key}: the key does not belong to the certificate"


def test_certificate_without_a_key_is_named(certificates: Certificates) -> None:
    cert = certificates.client_cert
    assert fault(None, cert).startswith(f"tls_cert {cert}, tls_key {cert}: ")


def test_certificate_and_key_may_be_in_one_file(certificates: Certificates, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(certificates.client_cert.read_text() + certificates.client_key.read_text())
    client_context(None, str(both), None)


def test_encrypted_key_is_named_and_asks_nobody(certificates: Certificates, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(certificates.client_key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    cert = certificates.client_cert
    assert fault(None, cert, encrypted) == (
        f"tls_cert {cert}, tls_key {encrypted}: the key is encrypted, and there is no way to give its password"
    )


def test_folder_in_the_place_of_a_file_is_named(certificates: Certificates, tmp_path: Path) -> None:
    assert fault(tmp_path).startswith(f"tls_ca {tmp_path}: ")
    assert fault(None, tmp_path, certificates.key).startswith(f"tls_cert {tmp_path}, tls_key ")


async def test_expired_certificate_is_refused(nursery: trio.Nursery, tmp_path: Path) -> None:
    ca = trustme.CA()
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = ca.issue_cert("127.0.0.1", not_before=past, not_after=past + datetime.timedelta(days=1))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(server)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def serve(stream: trio.SocketStream) -> None:
        tls = trio.SSLStream(stream, server, server_side=True)
        with suppress(trio.BrokenResourceError):  # the client hangs up
            await tls.do_handshake()
            await tls.receive_some()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    context = client_context(os.fspath(tmp_path / "ca.pem"), None, None)
    assert await refusal(context, listener.socket.getsockname()[1]) == "certificate has expired"
    nursery.cancel_scope.cancel()
