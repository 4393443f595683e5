"""Fetching files: only regular files, only inside allowed folders, within the limit."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.pictures.errors import FetchedImageTooLarge, ImageForbidden, ImageMissing
from streams.pictures.picture_store import PictureStore

PICTURE = b"\xff\xd8 a picture"


LIMIT = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An allowed folder with pictures, beside a folder with a similar name."""
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
    """A store that allows the folder."""
    store = PictureStore([f"file://{folder}/"], max_bytes=LIMIT, timeout_s=5)
    yield store
    await store.close()


@pytest.mark.parametrize(
    "form",
    ["file://{}/a.jpg", "file:{}/a.jpg", "file://localhost{}/a.jpg", "{}/a.jpg", "{}/sub/b c.jpg"],
)
async def test_files_in_an_allowed_folder_are_read(
    store: PictureStore, folder: Path, form: str
) -> None:
    """A file is named by a URI in any of its spellings, or by an absolute path."""
    assert await store.fetch(form.format(folder)) == PICTURE


async def test_percent_encoding_is_decoded_in_uris_and_literal_in_paths(
    store: PictureStore, folder: Path
) -> None:
    """``b%20c.jpg`` in a URI is the file ``b c.jpg``; a path is taken as it is."""
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
async def test_ambiguous_paths_are_forbidden(store: PictureStore, folder: Path, tail: str) -> None:
    """Traversal, also when encoded once or twice, and odd bytes are refused before opening."""
    with pytest.raises(ImageForbidden):
        await store.fetch(f"file://{folder}/{tail}")


async def test_a_folder_with_the_same_beginning_is_forbidden(
    store: PictureStore, folder: Path
) -> None:
    """``/allowed`` does not allow ``/allowed-evil``, and the message names the setting."""
    with pytest.raises(ImageForbidden, match="IMAGE_URI_ALLOW"):
        await store.fetch(f"file://{folder}-evil/a.jpg")


async def test_links_are_followed_only_inside_the_folder(store: PictureStore, folder: Path) -> None:
    """A link to a file outside, or through a folder outside, is refused."""
    (folder / "out.jpg").symlink_to(folder.parent / "allowed-evil" / "a.jpg")
    (folder / "outdir").symlink_to(folder.parent / "allowed-evil")
    (folder / "in.jpg").symlink_to("sub/b c.jpg")
    for uri in (f"{folder}/out.jpg", f"{folder}/outdir/a.jpg"):
        with pytest.raises(ImageForbidden, match="link"):
            await store.fetch(uri)
    assert await store.fetch(f"{folder}/in.jpg") == PICTURE


async def test_a_link_created_after_the_check_is_not_followed(
    store: PictureStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read when a plain file has become a link between check and opening."""
    resolved = str(folder / "raced.jpg")
    (folder / "raced.jpg").symlink_to(folder.parent / "allowed-evil" / "a.jpg")
    real = os.path.realpath

    def before_the_link(path: str, *, strict: bool = False) -> str:
        return path if path == resolved else real(path, strict=strict)

    monkeypatch.setattr("os.path.realpath", before_the_link)
    with pytest.raises((ImageForbidden, ImageMissing)):
        await store.fetch(resolved)


async def test_the_allowed_folder_may_itself_be_a_link(folder: Path) -> None:
    """The operator chose it in the setting."""
    (folder.parent / "link").symlink_to(folder)
    store = PictureStore([f"file://{folder.parent}/link"], max_bytes=LIMIT, timeout_s=5)
    assert await store.fetch(f"{folder.parent}/link/a.jpg") == PICTURE
    await store.close()


async def test_pipes_folders_and_devices_are_forbidden_without_opening_them(
    store: PictureStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a device can have effects, and opening a pipe can hang."""
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


async def test_a_missing_file_is_a_permanent_error_that_names_it(
    store: PictureStore, folder: Path
) -> None:
    """A path below a file is missing too."""
    for name in ("none.jpg", "a.jpg/b.jpg"):
        with pytest.raises(ImageMissing, match="jpg"):
            await store.fetch(f"{folder}/{name}")


async def test_a_file_of_exactly_the_limit_is_read(store: PictureStore, folder: Path) -> None:
    """One byte more is an error that has the size and the limit."""
    (folder / "full.jpg").write_bytes(b"x" * LIMIT)
    (folder / "over.jpg").write_bytes(b"x" * (LIMIT + 1))
    (folder / "huge.jpg").write_bytes(b"x" * (LIMIT * 3))
    assert len(await store.fetch(f"{folder}/full.jpg")) == LIMIT
    for name, size in (("over.jpg", LIMIT + 1), ("huge.jpg", LIMIT * 3)):
        with pytest.raises(FetchedImageTooLarge) as caught:
            await store.fetch(f"{folder}/{name}")
        assert (caught.value.size, caught.value.limit) == (size, LIMIT)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc exists on Linux only")
async def test_a_file_that_reports_no_size_is_bounded_too() -> None:
    """Files in ``/proc`` report zero bytes and have more."""
    store = PictureStore(["file:///proc/"], max_bytes=10, timeout_s=5)
    with pytest.raises(FetchedImageTooLarge):
        await store.fetch(f"/proc/{os.getpid()}/status")
    await store.close()
