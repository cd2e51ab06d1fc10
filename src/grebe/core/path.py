"""Paths: `/`-joined segments, alternating collection name and document id.

`users` and `users/1/friends` are collections, `users/1` is a document.
"""

from __future__ import annotations

from grebe.errors import InvalidPathError

ROOT_COLLECTION = "root"
"""The collection of root documents: `store.doc("x")` is `root/x`."""


def check_segment(segment: str) -> str:
    """Return `segment` if it can be a collection name or document id.

    Raises:
        InvalidPathError: it is no `str`, empty, or holds `/`, NUL or a lone surrogate.

    >>> check_segment("héllo __ ..")
    'héllo __ ..'
    """
    # Nearly all ids are alphanumeric, and no alphanumeric text holds a forbidden character.
    if isinstance(segment, str) and segment.isalnum():
        return segment
    return _check_unusual_segment(segment)


def _check_unusual_segment(segment: str) -> str:
    if not isinstance(segment, str):
        kind = type(segment).__name__
        raise InvalidPathError(f"a path segment is a str, not {kind}; convert it with str()")
    if not segment:
        raise InvalidPathError("a path segment is empty; give a collection name or a document id")
    if "/" in segment:
        raise InvalidPathError(f"{segment!r} holds '/'; a name or id is a single path segment")
    if "\0" in segment:
        raise InvalidPathError(f"{segment!r} holds a NUL character; leave it out")
    try:
        segment.encode()
    except UnicodeEncodeError as error:
        raise InvalidPathError(f"{segment!a} holds a lone surrogate; leave it out") from error
    return segment


def check_path(path: str) -> str:
    """Return `path` if each of its segments is valid. Raises InvalidPathError."""
    if not isinstance(path, str):
        kind = type(path).__name__
        raise InvalidPathError(f"a path is a str, not {kind}")
    for segment in path.split("/"):
        if not segment.isalnum():
            if not segment:
                raise InvalidPathError(f"{path!r} has an empty segment; write it as 'users/1'")
            _check_unusual_segment(segment)
    return path


def check_collection_path(path: str) -> str:
    """Return `path` if it names a collection. Raises InvalidPathError."""
    check_path(path)
    if is_document(path):
        raise InvalidPathError(
            f"{path!r} is the path of a document, not of a collection; use store.doc()"
        )
    return path


def check_document_path(path: str) -> str:
    """Return the whole path of the document that `path` names; a single segment is in `root`.

    Raises:
        InvalidPathError: the path is malformed or that of a collection.

    >>> check_document_path("x")
    'root/x'
    """
    check_path(path)
    if "/" not in path:
        return f"{ROOT_COLLECTION}/{path}"
    if not is_document(path):
        raise InvalidPathError(
            f"{path!r} is the path of a collection, not of a document; use store.collection()"
        )
    return path


def is_document(path: str) -> bool:
    """Tell whether a valid path is that of a document.

    >>> is_document("users/1"), is_document("users/1/friends")
    (True, False)
    """
    return path.count("/") % 2 == 1


def split(document_path: str) -> tuple[str, str]:
    """Return collection path and id of a document path.

    >>> split("users/1/friends/2")
    ('users/1/friends', '2')
    """
    collection, _, document_id = document_path.rpartition("/")
    return collection, document_id


def parent_document(collection_path: str) -> str | None:
    """Return the path of the document that holds the collection, or None at the top.

    >>> parent_document("users/1/friends"), parent_document("users")
    ('users/1', None)
    """
    return collection_path.rpartition("/")[0] or None


def parent_collection(collection_path: str) -> str | None:
    """Return the path of the collection two levels up, or None at the top.

    >>> parent_collection("users/1/friends")
    'users'
    """
    document = parent_document(collection_path)
    return None if document is None else split(document)[0]


def names(collection_path: str) -> str:
    """Return the collection names of a path, without the ids.

    >>> names("users/1/friends/2/pets")
    'users/friends/pets'
    """
    if "/" not in collection_path:
        return collection_path
    return "/".join(collection_path.split("/")[::2])


def is_under(path: str, ancestor: str) -> bool:
    """Tell whether `path` is `ancestor` or lies below it.

    >>> is_under("users/1/friends/2", "users/1"), is_under("users/10", "users/1")
    (True, False)
    """
    return path == ancestor or path.startswith(ancestor + "/")


def ancestors(path: str) -> list[str]:
    """Return `path` and all paths above it, the longest first.

    >>> ancestors("users/1/friends")
    ['users/1/friends', 'users/1', 'users']
    """
    found = [path]
    while "/" in path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
