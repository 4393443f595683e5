"""Claim checks: what is fetched, what is refused, and how each failure is named."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    allowed = tmp_path / "allowed"
    (allowed / "sub").mkdir(parents=True)
    (allowed / "a.jpg").write_bytes(PICTURE)
    (allowed / "sub" / "b c.jpg").write_bytes(PICTURE)
    outside = tmp_path / "allowed-evil"
    outside.mkdir()
    (outside / "a.jpg").write_bytes(b"not for you")
    return allowed


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[PictureStore]:
    store = PictureStore([f"file://{folder}/"], max_bytes=LIMIT, timeout_s=5)
    yield store
    await store.close()


@pytest.mark.parametrize(
    "form",
    ["file://{}/a.jpg", "file:{}/a.jpg", "file://localhost{}/a.jpg", "{}/a.jpg", "{}/sub/b c.jpg"],
)
async def test_reads_files_in_the_allowed_folder(
    store: PictureStore, folder: Path, form: str
) -> None:
    """A file URI in any of its spellings, or an absolute path, gives the file's bytes."""
    assert await store.fetch(form.format(folder)) == PICTURE


async def test_percent_encoding_is_decoded_in_uris_and_literal_in_paths(
    store: PictureStore, folder: Path
) -> None:
    """`file:///…/b%20c.jpg` is `b c.jpg`; the bare path `100%25.jpg` is just that file."""
    (folder / "100%25.jpg").write_bytes(b"literal")
    assert await store.fetch(f"file://{folder}/sub/b%20c.jpg") == PICTURE
    assert await store.fetch(f"{folder}/100%25.jpg") == b"literal"


@pytest.mark.parametrize(
    "tail",
    [
        "../allowed-evil/a.jpg",
        "%2e%2e/allowed-evil/a.jpg",
        "%252e%252e/allowed-evil/a.jpg",
        "..%2fallowed-evil/a.jpg",
        "sub%2f..%2f..%2fallowed-evil/a.jpg",
        "sub/../a.jpg",
        "./a.jpg",
        "a.jpg%00.png",
        "a.jpg\0",
        "..\\a.jpg",
        "..%5ca.jpg",
        "%ff.jpg",
        "\ud800.jpg",
        "a.jpg?x=1",
        "a.jpg::zip",
    ],
)
async def test_paths_that_climb_or_confuse_are_forbidden(
    store: PictureStore, folder: Path, tail: str
) -> None:
    """Traversal, plain or encoded once or twice, and ambiguous bytes are refused before opening."""
    with pytest.raises(ImageForbidden) as caught:
        await store.fetch(f"file://{folder}/{tail}")
    assert not caught.value.transient


async def test_a_look_alike_folder_is_forbidden(store: PictureStore, folder: Path) -> None:
    """`/allowed` does not allow `/allowed-evil`, and the message names the setting."""
    with pytest.raises(ImageForbidden, match="IMAGE_URI_ALLOW"):
        await store.fetch(f"file://{folder}-evil/a.jpg")


async def test_links_may_not_lead_out_but_may_stay_inside(
    store: PictureStore, folder: Path
) -> None:
    """A link to a file or through a folder outside is refused; one inside is followed."""
    (folder / "out.jpg").symlink_to(folder.parent / "allowed-evil" / "a.jpg")
    (folder / "outdir").symlink_to(folder.parent / "allowed-evil")
    (folder / "in.jpg").symlink_to("sub/b c.jpg")
    for uri in (f"{folder}/out.jpg", f"{folder}/outdir/a.jpg"):
        with pytest.raises(ImageForbidden, match="link"):
            await store.fetch(uri)
    assert await store.fetch(f"{folder}/in.jpg") == PICTURE


async def test_a_link_swapped_in_after_the_check_is_not_followed(
    store: PictureStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the path was a plain file when resolved and is a link when opened, nothing is read."""
    resolved = str(folder / "raced.jpg")
    (folder / "raced.jpg").symlink_to(folder.parent / "allowed-evil" / "a.jpg")
    real = os.path.realpath

    def before_the_swap(path: str, *, strict: bool = False) -> str:
        return path if path == resolved else real(path, strict=strict)

    monkeypatch.setattr("os.path.realpath", before_the_swap)
    with pytest.raises((ImageForbidden, ImageMissing)):
        await store.fetch(resolved)


async def test_the_allowed_folder_may_itself_be_a_link(folder: Path) -> None:
    """The operator's own link in the setting is trusted."""
    (folder.parent / "link").symlink_to(folder)
    store = PictureStore([f"file://{folder.parent}/link"], max_bytes=LIMIT, timeout_s=5)
    assert await store.fetch(f"{folder.parent}/link/a.jpg") == PICTURE
    await store.close()


async def test_pipes_folders_and_devices_are_forbidden_without_opening_them(
    store: PictureStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only regular files are opened: opening a device can have effects, a pipe can hang."""
    os.mkfifo(folder / "pipe.jpg")
    opened: list[object] = []
    real = os.open

    def watched(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        opened.append(path)
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr("os.open", watched)
    for name in ("pipe.jpg", "sub", "sub/"):
        with pytest.raises(ImageForbidden, match="regular file"):
            await store.fetch(f"{folder}/{name}")
    assert opened
    assert not {"pipe.jpg", "sub"} & set(opened)


async def test_missing_files_are_named(store: PictureStore, folder: Path) -> None:
    """A file that is not there, or below a file, is missing, which is not transient."""
    for name in ("none.jpg", "a.jpg/b.jpg"):
        with pytest.raises(ImageMissing, match="jpg") as caught:
            await store.fetch(f"{folder}/{name}")
        assert not caught.value.transient


async def test_the_limit_is_inclusive(store: PictureStore, folder: Path) -> None:
    """A file of exactly the limit is read; one byte more says size and limit."""
    (folder / "full.jpg").write_bytes(b"x" * LIMIT)
    (folder / "over.jpg").write_bytes(b"x" * (LIMIT + 1))
    (folder / "huge.jpg").write_bytes(b"x" * (LIMIT * 3))
    assert len(await store.fetch(f"{folder}/full.jpg")) == LIMIT
    for name, size in (("over.jpg", LIMIT + 1), ("huge.jpg", LIMIT * 3)):
        with pytest.raises(FetchedImageTooLarge) as caught:
            await store.fetch(f"{folder}/{name}")
        assert (caught.value.size, caught.value.limit) == (size, LIMIT)
        assert not caught.value.transient


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
async def test_files_without_a_true_size_are_bounded_too() -> None:
    """A file that claims zero bytes and has more is cut off at the limit."""
    store = PictureStore(["file:///proc/"], max_bytes=10, timeout_s=5)
    with pytest.raises(FetchedImageTooLarge):
        await store.fetch(f"/proc/{os.getpid()}/status")
    await store.close()


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
async def test_nothing_is_allowed_by_default(uri: str) -> None:
    """With an empty allow-list every URI is refused, whatever its scheme."""
    store = PictureStore([], max_bytes=LIMIT, timeout_s=5)
    with pytest.raises(ImageForbidden):
        await store.fetch(uri)
    await store.close()


async def test_other_schemes_are_read_through_fsspec_within_prefix_and_limit() -> None:
    """`memory://` stands for every fsspec store: read, missing, forbidden and too large."""
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
    """A store for files and http does without it."""
    program = (
        "import sys; from streams.pictures.picture_store import PictureStore;"
        "PictureStore(['file:///a', 'https://b'], max_bytes=1, timeout_s=1);"
        "sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_failures_of_a_store_are_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a back end raises becomes ImageUnavailable, to be tried again."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("token=secret")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.open", broken)
    store = PictureStore(["memory://"], max_bytes=LIMIT, timeout_s=5)
    with pytest.raises(ImageUnavailable) as caught:
        await store.fetch("memory://a.jpg")
    assert caught.value.transient
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
def test_prefixes_cover_whole_parts_only(entry: str, uri: str, covered: bool) -> None:
    """A bucket, a port or a folder that only begins alike is another one."""
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
def test_an_entry_that_can_never_work_stops_the_start(entry: str) -> None:
    """The allow-list is checked when the store is made, and the message names the setting."""
    with pytest.raises(ConfigurationError, match="IMAGE_URI_ALLOW"):
        PictureStore([entry], max_bytes=LIMIT, timeout_s=5)


@pytest.mark.parametrize(
    ("entry", "driver"),
    [("s3://bucket/", "s3fs"), ("gs://bucket/", "gcsfs"), ("abfs://container/", "adlfs")],
)
def test_a_driver_that_is_not_installed_is_named(entry: str, driver: str) -> None:
    """Object stores need a package that no lock has; the start says which."""
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
    """Credentials and queries never reach a message."""
    store = PictureStore([], max_bytes=LIMIT, timeout_s=5)
    with pytest.raises(ImageStoreError) as caught:
        await store.fetch(uri)
    assert "hunter2" not in str(caught.value)
    await store.close()
