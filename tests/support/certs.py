"""Certificates for TLS tests: a throw-away CA and what it issued, for this machine by default, as PEM files."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files. ``stranger_ca`` issued nothing: a client that trusts only it must refuse."""

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path
    stranger_ca: Path

    def context(self) -> ssl.SSLContext:
        """For a client that trusts the CA."""
        return ssl.create_default_context(cafile=str(self.ca))

    def server_context(self) -> ssl.SSLContext:
        """For a server that shows the certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        return context


def issue(folder: Path, *names: str) -> Certificates:
    """Write a new set of files into ``folder``, for these names instead."""
    ca = trustme.CA()
    server = ca.issue_cert(*(names or ("127.0.0.1", "localhost", "::1")))
    client = ca.issue_cert("client@example.org")
    made = Certificates(*(folder / f"{name}.pem" for name in Certificates.__slots__))
    ca.cert_pem.write_to_path(made.ca)
    server.cert_chain_pems[0].write_to_path(made.cert)
    server.private_key_pem.write_to_path(made.key)
    client.cert_chain_pems[0].write_to_path(made.client_cert)
    client.private_key_pem.write_to_path(made.client_key)
    trustme.CA().cert_pem.write_to_path(made.stranger_ca)
    return made
