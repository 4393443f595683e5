"""Claim checks that try to read what they may not."""

from __future__ import annotations

from hypothesis import strategies as st

from tools.fuzz.places import ADDRESSES, PAGES, SECRET, Folders

_CREDENTIALS = f"user:{SECRET}@"
_SCHEMES = (
    *("", "file://", "file:", "FILE:///", "file://localhost", "file:////", "file://evil.test"),
    *("local://", "local:///", "memory://", "simplecache::file://", "zip://a.jpg::file://"),
    *("ftp://", "data:image/jpeg;base64,", "s3://bucket", "gopher://", "jar:file://", "//"),
    *(f"{scheme}{_CREDENTIALS}host" for scheme in ("http://", "http:/", "http:", "s3://", "//")),
)
_PARTS = (
    *("..", ".", "", "...", "....", "%2e%2e", "%252e%252e", "%25252e%25252e", ".%2e", "..%2f"),
    *("..%5c", "..\\", "..;", "..%00", "%c0%ae%c0%ae", "%u002e%u002e", "\uff0e\uff0e", "\u2025"),
    *("private", "canary.jpg", "pictures", "pictures-old", "sub", "grace.jpg", "GRACE.JPG"),
    *("link-in.jpg", "link-out.jpg", "link-far.jpg", "link-folder", "link-root", "link-loop"),
    *("link-up", "link-device", "pipe.jpg", "empty.jpg", "large.jpg", "grace.jpg%00.png"),
    *("proc", "self", "root", "fd", "0", "environ", "etc", "passwd", "~", "$HOME", "*", "a" * 300),
    *("redirect", "redirect-file", "redirect-name", "liar", "zipped", "large", "away", "open"),
    *("closed", "\u0000", "\n", "\r\nHost: x", " ", "\u202e", "\ud7ff", "%", "%zz", "%ff"),
    *(
        _CREDENTIALS,
        f"?token={SECRET}",
        f"#{SECRET}",
        "::",
        "@",
        ":",
        "?",
        "&a=http://loopback.test",
    ),
)


def uris(folders: Folders, port: int) -> st.SearchStrategy[str]:
    """Return a strategy for URIs around the allowed folder and the server on ``port``."""
    places = (
        *(
            f"{scheme}{folders.allowed}"
            for scheme in ("", "file://", "file://localhost", "local://")
        ),
        f"file://{folders.neighbour}",
        f"file://{folders.forbidden}",
    )
    numbers = ("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "localhost")
    hosts = (*ADDRESSES, *(name.upper() for name in ADDRESSES), *numbers, "loopback.test.")
    sites = (
        f"http://127.0.0.1:{port}/open",
        f"http://{_CREDENTIALS}127.0.0.1:{port}/open",
        f"http://127.0.0.1:{port}\\@loopback.test/open",
        f"http://127.0.0.1:{port}#@loopback.test:{port}/open",
        *(f"http://{host}:{port}/open" for host in hosts),
        f"https://loopback.test:{port}",
    )
    starts = st.sampled_from(places) | st.sampled_from(sites) | st.sampled_from(_SCHEMES)
    parts = st.lists(st.sampled_from(_PARTS) | st.text(max_size=4), max_size=7)
    # Pages and files under their exact names, which random parts rarely form.
    exact = st.sampled_from(
        [f"http://127.0.0.1:{port}/open/{page}" for page in PAGES]
        + [f"file://{file}" for file in sorted(folders.allowed.rglob("*.jpg"))]
    )
    return exact | st.builds(lambda start, rest: "/".join([start, *rest]), starts, parts)


def allowed_prefixes(folders: Folders, port: int) -> tuple[str, ...]:
    """Return ``IMAGE_URI_ALLOW``, with host names whose addresses must be refused all the same."""
    names = tuple(f"http://{name}:{port}/" for name in ADDRESSES)
    return (f"file://{folders.allowed}/", "memory://", f"http://127.0.0.1:{port}/open/", *names)
