"""TLS towards Janus and the database: contexts from the configured files.

Owns how a context is made and what each bad file is called. Must not know gateways. Verification is always on: the
host's name against the certificate, the certificate against ``tls_ca`` or the system's authorities.
"""

import ssl
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bridge.errors import ConnectFailed
from bridge.files import require_file

# A handshake that ends without a word; Python 3.11.2 has the one for it, later ones the other.
CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
# By OpenSSL's reason, which it often has not.
_PEM_FAULTS = {
    "": "the certificate or the key is missing in it, or damaged (PEM is wanted)",
    "NO_CERTIFICATE_OR_CRL_FOUND": "there is no certificate in it (PEM is wanted)",
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
}
PEM_MAX = 4 << 20  # bytes; a bundle of all public CAs has 250 KB


class Tls(NamedTuple):
    """PEM files. Any one of them makes TLS with a verified server compulsory; without ``ca`` the system's CAs count."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@cache
def system_context() -> ssl.SSLContext:
    """Verification against the system's authorities. One for all: each would hold megabytes of certificates."""
    return _verifying(None)


def client_context(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """A context for these PEM files. Raises ConnectFailed that names the file at fault."""
    if ca is None and certificate is None:
        return system_context()
    try:
        context = _verifying(ca)
    except OSError as exc:
        raise ConnectFailed(f"tls_ca {ca}: {pem_text(exc)}") from None
    if certificate is not None:
        try:
            load_chain(context, certificate, key)
        except OSError as exc:
            raise ConnectFailed(f"tls_cert {certificate}, tls_key {key or certificate}: {pem_text(exc)}") from None
    return context


def load_chain(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Show this certificate; ``key``: where it does not hold its own. Raises OSError, for ``pem_text``."""
    for file in filter(None, (certificate, key)):
        require_file(file, PEM_MAX)
    # An encrypted key would make OpenSSL ask on the terminal; refuse it instead.
    context.load_cert_chain(certificate, key, password=_no_password)


def _verifying(ca: str | None) -> ssl.SSLContext:
    if ca is not None:
        require_file(ca, PEM_MAX)
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # what Janus has; OpenSSL's own default depends on its build
    return context


def tls_text(exc: BaseException | None) -> str:
    """Why TLS failed with a peer, in words: ``exc`` is what trio's SSLStream hangs behind its error."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not accepted: {exc.verify_message}"
    if not isinstance(exc, ssl.SSLError) or isinstance(exc, CLOSED):
        return "TLS: the connection was closed during the handshake: is this a TLS port?"
    reason = exc.reason or "HANDSHAKE_FAILED"
    question = ": is this a TLS port?" if reason == "WRONG_VERSION_NUMBER" else ""
    return f"TLS: {reason.replace('_', ' ').lower()}{question}"


def _no_password() -> str:
    raise OSError("the key is encrypted, and there is no way to give its password")


def pem_text(exc: OSError) -> str:
    """Why a file cannot be used, in words; ``exc`` is what ``ssl`` says of it."""
    if not isinstance(exc, ssl.SSLError):
        return exc.strerror or str(exc)
    return _PEM_FAULTS.get(exc.reason or "", (exc.reason or "").replace("_", " ").lower())
