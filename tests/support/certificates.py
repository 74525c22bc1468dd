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

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as it stands in files."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as it stands in files."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Files(NamedTuple):
    """PEM files: our authority, a client's certificate, its key, and the two in one."""

    ca: Path
    certificate: Path
    key: Path
    both: Path


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
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issued_by(key if issuer is None else issuer.key), critical=False)
        .add_extension(_used_for(signing=address is None), critical=True)
    )
    if address is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return Pair(builder.sign(key if issuer is None else issuer.key, hashes.SHA256()), key)


# Python from 3.13 on wants to see what RFC 5280 asks for (VERIFY_X509_STRICT).


def _used_for(*, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signing,
        key_cert_sign=signing,
        crl_sign=signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


@cache
def _authority() -> Pair:
    return _made("Authority of the tests", None, issuer=None)


def trusting() -> ssl.SSLContext:
    """Return what a client needs to trust our authority, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=_authority().certificate_pem.decode())
    return context


def written(folder: Path) -> Files:
    """Write what a client needs that trusts our authority, and that it trusts."""
    client = _made("client", "127.0.0.1", issuer=_authority())
    files = Files(*(folder / f"{name}.pem" for name in Files._fields))
    files.ca.write_bytes(_authority().certificate_pem)
    files.certificate.write_bytes(client.certificate_pem)
    files.key.write_bytes(client.key_pem)
    files.both.write_bytes(client.certificate_pem + client.key_pem)
    return files


def stranger() -> Pair:
    """Return what nobody vouches for."""
    return _made("stranger", "127.0.0.1", issuer=None)


def asking() -> ssl.SSLContext:
    """Return a server's context that is as it should be and lets in nobody without a certificate of our authority."""
    context = good()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=_authority().certificate_pem.decode())
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
    with tempfile.TemporaryDirectory() as folder:  # OpenSSL reads certificates and keys from files only
        path = Path(folder, "server.pem")
        path.write_bytes(pair.certificate_pem + pair.key_pem)
        context.load_cert_chain(path)
    return context
