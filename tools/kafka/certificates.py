"""A test authority and the certificates that it signs, made on the spot by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = "2"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM."""

    cert_file: Path
    key_file: Path

    @property
    def together(self) -> str:
        """Both, as a broker's PEM key store has them."""
        return self.key_file.read_text() + self.cert_file.read_text()


class Authority:
    """Signs for hosts and clients; keeps everything in one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        own = self._key_and("authority", "-x509", "-days", DAYS)
        self.ca_file = own.cert_file
        self._key_file = own.key_file

    def sign(self, name: str, *, address: str | None = None) -> Certificate:
        """A certificate for ``CN=name``, and for an IP address where a host needs one."""
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
        """A new key, and a request for its certificate or, for the authority, that itself."""
        key, out = self._folder / f"{name}.key", self._folder / f"{name}.pem"
        subject = ("-subj", f"/CN={name}")
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *(*subject, "-keyout", key, "-out", out),
            *self_signed,
        )
        return Certificate(out, key)


def encrypted(key_file: Path, password: str) -> Path:
    """The same key, locked by a password."""
    locked = key_file.with_suffix(".locked")
    openssl(
        *("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", key_file, "-out", locked),
        *("-passout", f"pass:{password}"),
    )
    return locked


def openssl(*arguments: str | Path) -> None:
    """Run openssl; its words are in the error."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")
