"""``janus-bridge mi`` over https, and where one side speaks http and the other https: what is said then."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.cli.conftest import Cli, Http
from tests.support.certs import Certificates, issue


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return issue(tmp_path)


@pytest.fixture
def https(certificates: Certificates) -> Iterator[Http]:
    server = Http(certificates)
    yield server
    server.close()


def for_clients(ca: trustme.CA) -> trustme.LeafCert:
    """A certificate of this CA that its owner may not show as a server."""
    ca_key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    ca_name = x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        ca_name,
        x509.Name([]),
        key.public_key(),
        x509.random_serial_number(),
        now - datetime.timedelta(1),
        now + datetime.timedelta(1),
        [
            x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])),
        ],
    )
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(host, critical=True).sign(ca_key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return trustme.LeafCert(private, certificate.public_bytes(serialization.Encoding.PEM), [])


async def complaint(cli: Cli, url: str, *arguments: str) -> str:
    """The one line on stderr, without its beginning."""
    code, out, err = await cli("mi", "which", "--url", url, *arguments)
    assert (code, out, err.count("\n")) == (3, "", 1)
    beginning = f"janus-bridge mi: {url.replace('x=1', '***')}: "  # a query may be a secret
    assert err.startswith(beginning)
    return err.removeprefix(beginning).removesuffix("\n")


async def test_whom_the_ca_vouches_for_is_asked(cli: Cli, https: Http, certificates: Certificates) -> None:
    url = f"https://{https.netloc}/mi"
    assert await cli("mi", "which", "--url", url, "--ca", str(certificates.ca)) == (0, "OK\n", "")


async def test_a_ca_that_did_not_sign_is_named(cli: Cli, https: Http, certificates: Certificates) -> None:
    line = await complaint(cli, f"https://{https.netloc}/mi", "--ca", str(certificates.stranger_ca))
    reason, said, advice = line.split("; ")
    assert reason.startswith("TLS: the certificate is not accepted: ")
    assert said == f"it is signed by none of the CAs in {certificates.stranger_ca}"
    assert advice == "--ca FILE names the one to trust"
    line = await complaint(cli, f"https://{https.netloc}/mi")
    assert line.endswith("; it is signed by none of the CAs of this system; --ca FILE names the one to trust")


async def test_another_ca_is_no_advice_where_the_certificate_is_too_old_or_somebody_else_s(
    cli: Cli, certificates: Certificates
) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(certificates.ca)
    for issued, reason in (
        (ca.issue_cert("127.0.0.1", not_after=yesterday), "certificate has expired"),
        (ca.issue_cert("example.org"), "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        (for_clients(ca), "unsuitable certificate purpose"),
    ):
        issued.private_key_pem.write_to_path(certificates.key)
        issued.cert_chain_pems[0].write_to_path(certificates.cert)
        server = Http(certificates)
        try:
            line = await complaint(cli, f"https://{server.netloc}/mi", "--ca", str(certificates.ca))
        finally:
            server.close()
        assert line == f"TLS: the certificate is not accepted: {reason}"


async def test_http_to_a_listener_that_speaks_https(cli: Cli, https: Http) -> None:
    line = await complaint(cli, f"http://{https.netloc}/mi?x=1")
    assert line.endswith(f"; if it speaks HTTPS, write https://{https.netloc}/mi?***")


@pytest.mark.parametrize("answer", [b"", b"\x15\x03\x01\x00\x02\x02\x46"], ids=["closes", "sends an alert"])
async def test_http_to_what_may_speak_https(cli: Cli, nursery: trio.Nursery, answer: bytes) -> None:
    netloc = await scripted(nursery, answer, after=b"}")
    line = await complaint(cli, f"http://{netloc}/mi")
    assert line.startswith("no HTTP answer: ")
    assert line.endswith(f"; if it speaks HTTPS, write https://{netloc}/mi")


async def test_https_to_a_listener_that_speaks_http(cli: Cli, http: Http) -> None:
    line = await complaint(cli, f"https://{http.netloc}/mi")
    assert line == f"TLS: wrong version number; if it speaks plain HTTP, write http://{http.netloc}/mi"


async def test_https_to_what_closes_the_connection(cli: Cli, nursery: trio.Nursery) -> None:
    netloc = await scripted(nursery, b"")
    line = await complaint(cli, f"https://{netloc}/mi")
    assert line == (
        f"TLS: the connection was closed during the handshake; if it speaks plain HTTP, write http://{netloc}/mi"
    )


@pytest.mark.parametrize(
    ("content", "words"), [("", "there is no certificate in it (PEM is wanted)"), (None, "Is a directory")]
)
async def test_a_ca_that_is_none(cli: Cli, tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path
    if content is not None:
        path = tmp_path / "ca.pem"
        path.write_text(content)
    code, _, err = await cli("mi", "which", "--url", "https://127.0.0.1/mi", "--ca", str(path))
    assert (code, err) == (2, f"janus-bridge mi: --ca {path}: {words}\n")


async def scripted(nursery: trio.Nursery, answer: bytes, after: bytes = b"") -> str:
    """HOST:PORT of a server that reads until ``after`` has come, says ``answer`` and closes."""

    async def converse(stream: trio.SocketStream) -> None:
        async with stream:
            heard = await stream.receive_some()
            while after not in heard:
                heard += await stream.receive_some()
            if answer:
                await stream.send_all(answer)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, converse, listeners)
    return f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"


async def test_https_to_what_answers_with_an_alert(cli: Cli, nursery: trio.Nursery) -> None:
    """Only TLS has alerts: to write http here would send the token in clear text."""
    netloc = await scripted(nursery, b"\x15\x03\x03\x00\x02\x02\x28", after=b"")
    line = await complaint(cli, f"https://{netloc}/mi")
    assert line.startswith("TLS: ")
    assert "http://" not in line
