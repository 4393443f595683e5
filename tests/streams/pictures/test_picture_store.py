"""The picture store: its allow-list, fsspec back ends, and the messages of its errors."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import fsspec
import pytest

from streams.errors import ConfigurationError
from streams.pictures.errors import (
    FetchedImageTooLarge,
    ImageForbidden,
    ImageMissing,
    ImageStoreError,
    ImageUnavailable,
)
from streams.pictures.picture_store import PictureStore
from streams.pictures.uri import AllowedPrefix, parse_location

PICTURE = b"\xff\xd8 a picture"
LIMIT = 1000


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "local:///etc/passwd",
        "file://other-host/etc/passwd",
        "https://example.com/a.jpg",
        "memory://a.jpg",
        "s3://bucket/a.jpg",
        "simplecache::file:///etc/passwd",
        "zip://a.jpg::file:///etc/x.zip",
        "data:image/png;base64,AAAA",
        "photo.jpg",
        "",
        " /etc/passwd",
    ],
)
async def test_an_empty_allow_list_refuses_every_uri(uri: str) -> None:
    """The default allows no scheme."""
    store = PictureStore([], max_bytes=LIMIT, timeout_s=5)
    with pytest.raises(ImageForbidden):
        await store.fetch(uri)
    await store.close()


async def test_fsspec_reads_other_schemes_within_prefix_and_limit() -> None:
    """``memory://`` represents every fsspec back end."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/faces/a b.jpg", PICTURE)
    memory.pipe("/faces/large.jpg", b"x" * (LIMIT + 1))
    memory.pipe("/faces-old/a.jpg", PICTURE)
    store = PictureStore(["memory://faces/"], max_bytes=LIMIT, timeout_s=5)
    assert await store.fetch("memory://faces/a%20b.jpg") == PICTURE
    assert await store.fetch("memory:///faces/a b.jpg") == PICTURE
    for uri, error in (
        ("memory://faces/none.jpg", ImageMissing),
        ("memory://faces-old/a.jpg", ImageForbidden),
        ("memory://faces/../faces-old/a.jpg", ImageForbidden),
        ("memory://faces/large.jpg", FetchedImageTooLarge),
    ):
        with pytest.raises(error):
            await store.fetch(uri)
    await store.close()


def test_fsspec_is_imported_only_when_a_setting_needs_it() -> None:
    """Stores of files and HTTP do not need it."""
    program = (
        "import sys; from streams.pictures.picture_store import PictureStore;"
        "PictureStore(['file:///a', 'https://b'], max_bytes=1, timeout_s=1);"
        "sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_unknown_errors_of_a_back_end_are_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    """They become ``ImageUnavailable``, without the original message."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("token=secret")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.open", broken)
    store = PictureStore(["memory://"], max_bytes=LIMIT, timeout_s=5)
    with pytest.raises(ImageUnavailable) as caught:
        await store.fetch("memory://a.jpg")
    assert isinstance(caught.value, ImageUnavailable)
    assert "secret" not in str(caught.value)
    await store.close()


@pytest.mark.parametrize(
    ("entry", "uri", "covered"),
    [
        ("s3://faces", "s3://faces/a.jpg", True),
        ("s3://faces", "s3://faces-evil/a.jpg", False),
        ("s3://faces/ann/", "s3://faces/ann/a.jpg", True),
        ("s3://faces/ann/", "s3://faces/anna/a.jpg", False),
        ("s3://", "s3://any/a.jpg", True),
        ("http://host:80", "http://host:8080/a.jpg", False),
        ("http://host:80", "http://host/a.jpg", True),
        ("http://[::1]:80/", "http://[0:0::1]/a.jpg", True),
        ("file:///", "/any/a.jpg", True),
    ],
)
def test_prefixes_cover_whole_path_segments_only(entry: str, uri: str, covered: bool) -> None:
    """A longer bucket, port or folder name is a different one."""
    assert AllowedPrefix.parse(entry).covers(parse_location(uri)) == covered


@pytest.mark.parametrize(
    "entry",
    [
        "pictures/",
        "https://",
        "https://host/?x=1",
        "https://127.1/",
        "https://0x7f000001/",
        "simplecache::s3://bucket/",
        "zip://a",
        "nosuchscheme://bucket/",
        "file:///var/../etc/",
    ],
)
def test_an_invalid_entry_of_the_allow_list_is_refused(entry: str) -> None:
    """The store checks its entries when it is created; the message names the setting."""
    with pytest.raises(ConfigurationError, match="IMAGE_URI_ALLOW"):
        PictureStore([entry], max_bytes=LIMIT, timeout_s=5)


@pytest.mark.parametrize(
    ("entry", "driver"),
    [("s3://bucket/", "s3fs"), ("gs://bucket/", "gcsfs"), ("abfs://container/", "adlfs")],
)
def test_a_missing_driver_is_named(entry: str, driver: str) -> None:
    """Object stores need a package that is not among the dependencies."""
    if importlib.util.find_spec(driver) is not None:
        pytest.skip(f"{driver} is installed here")
    with pytest.raises(ConfigurationError, match=f"IMAGE_URI_ALLOW: .*[Ii]nstall {driver} "):
        PictureStore([entry], max_bytes=LIMIT, timeout_s=5)


@pytest.mark.parametrize(
    "uri",
    [
        "https://user:hunter2@host/a.jpg?sig=hunter2#hunter2",
        "https://us?er:hunter2@host/a.jpg",
        "s3://key:hunter2@bucket/a.jpg",
        "simplecache::ftp://u:hunter2@h/x",
        "u:hunter2@host/x",
    ],
)
async def test_messages_show_no_secrets(uri: str) -> None:
    """Credentials and queries are left out."""
    store = PictureStore([], max_bytes=LIMIT, timeout_s=5)
    with pytest.raises(ImageStoreError) as caught:
        await store.fetch(uri)
    assert "hunter2" not in str(caught.value)
    await store.close()
