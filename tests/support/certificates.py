"""Certificates for tests of TLS, made when they are needed: an authority of ours, and what it signs or does not."""

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _made(name: str, address: str | None, *, issuer: Pair | None, until: timedelta = _DAY) -> Pair:
    """Return a certificate that is valid from ten days ago; without an ``issuer`` it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now + until)
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    )
    if address is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return Pair(builder.sign(key if issuer is None else issuer.key, hashes.SHA256()), key)


@cache
def _authority() -> Pair:
    return _made("Authority of the tests", None, issuer=None)


def trusting() -> ssl.SSLContext:
    """Return what a client needs to trust our authority, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=_authority().certificate.public_bytes(Encoding.PEM).decode())
    return context


def good() -> ssl.SSLContext:
    """Return a server's context that is as it should be, for 127.0.0.1."""
    return _serving(_made("good", "127.0.0.1", issuer=_authority()))


def expired() -> ssl.SSLContext:
    """Return a server's context whose certificate was good until yesterday."""
    return _serving(_made("expired", "127.0.0.1", issuer=_authority(), until=-_DAY))


def elsewhere() -> ssl.SSLContext:
    """Return a server's context whose certificate is for another address."""
    return _serving(_made("elsewhere", "192.0.2.1", issuer=_authority()))


def self_signed() -> ssl.SSLContext:
    """Return a server's context whose certificate nobody vouches for."""
    return _serving(_made("self-signed", "127.0.0.1", issuer=None))


def _serving(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory() as folder:  # OpenSSL reads certificates and keys from files only
        path = Path(folder, "server.pem")
        path.write_bytes(pair.certificate.public_bytes(Encoding.PEM) + key)
        context.load_cert_chain(path)
    return context
