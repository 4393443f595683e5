"""A certificate authority for tests, and the certificates it signs, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = "2"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    cert_file: Path
    key_file: Path

    @property
    def bundle(self) -> str:
        """Key and certificate as one text, the format of a broker's PEM key store."""
        return self.key_file.read_text() + self.cert_file.read_text()


class Authority:
    """A certificate authority that keeps its files in one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        own = self._key_and("authority", "-x509", "-days", DAYS)
        self.ca_file = own.cert_file
        self._key_file = own.key_file

    def sign(self, name: str, *, address: str | None = None) -> Certificate:
        """Sign a certificate for ``CN=name`` and, for a server, its IP address."""
        request = self._key_and(name)
        cert_file = self._folder / f"{name}.crt"
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=IP:{address}\n" if address else "")
        openssl(
            *("x509", "-req", "-in", request.cert_file, "-out", cert_file, "-days", DAYS),
            *("-CA", self.ca_file, "-CAkey", self._key_file, "-CAcreateserial"),
            *("-extfile", extensions),
        )
        return Certificate(cert_file, request.key_file)

    def _key_and(self, name: str, *self_signed: str) -> Certificate:
        """Make a key with a signing request or, for the authority, a self-signed certificate."""
        key, out = self._folder / f"{name}.key", self._folder / f"{name}.pem"
        subject = ("-subj", f"/CN={name}")
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *(*subject, "-keyout", key, "-out", out),
            *self_signed,
        )
        return Certificate(out, key)


def encrypted(key_file: Path, password: str) -> Path:
    """Write a copy of the key that is encrypted by a password."""
    locked = key_file.with_suffix(".locked")
    openssl(
        *("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", key_file, "-out", locked),
        *("-passout", f"pass:{password}"),
    )
    return locked


def openssl(*arguments: str | Path) -> None:
    """Run openssl. Raises ``RuntimeError`` with its output when it fails."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")
