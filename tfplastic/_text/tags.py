"""Tags from names of layers, which may be anything, and their places in the file system."""

import hashlib
import urllib.parse

FORBIDDEN_CHARACTERS = frozenset(',"')
_ENCODED = FORBIDDEN_CHARACTERS | {"%"}
FORBIDDEN_PARTS = frozenset(("", ".", ".."))
_LONGEST_PART = 150  # bytes of a file name; file systems allow 255
_LONGEST_TAG = 1_000  # bytes of a path
_KEPT = 60  # characters of what is too long, before its digest
_SAFE = "".join(chr(code) for code in range(32, 127) if chr(code) not in "%\\/")


def tag_of(*names: str) -> str:
    """Returns a tag of names joined by '/', each of which may hold more of them.

    Characters that a tag cannot hold are percent-encoded, as in URLs: commas, double quotes, '%', line breaks
    and control characters; '.' and '..' become '%2E' and '%2E%2E', and an empty name '%'. A name that is too
    long for a file system keeps its first 60 characters, followed by '~' and a digest of the whole. All other
    names stay as they are.

    Args:
        *names: such as a prefix, a quantity and the path of a layer.

    Example:
        >>> from tfplastic._text.tags import tag_of
        >>> tag_of('diagnostics', 'dead_units', 'block_1/relu'), tag_of('a', '..', 'b,c')
        ('diagnostics/dead_units/block_1/relu', 'a/%2E%2E/b%2Cc')
    """
    parts = [_part(part) for name in names for part in name.split("/")]
    tag = "/".join(parts)
    if len(path_of(tag)) > _LONGEST_TAG:
        head = "/".join(parts[: max(1, len(names) - 1)])
        return f"{head}/{_shortened('/'.join(parts[len(names) - 1 :]).replace('/', '.'))}"
    return tag


def path_of(tag: str) -> str:
    """Returns the path of a tag, in ASCII, whatever the locale: other characters are percent-encoded.

    Example:
        >>> from tfplastic._text.tags import path_of
        >>> path_of('probe/loss'), path_of('café')
        ('probe/loss', 'caf%C3%A9')
    """
    return "/".join(urllib.parse.quote(part, safe=_SAFE) for part in tag.split("/"))


def tag_at(path: str) -> str:
    """Returns the tag whose `path_of` is `path`."""
    return urllib.parse.unquote(path)


def _part(part: str) -> str:
    if part in FORBIDDEN_PARTS:
        return part.replace(".", "%2E") or "%"
    encoded = "".join(
        each if each.isprintable() and each not in _ENCODED else urllib.parse.quote(each, safe="")
        for each in part
    )
    return encoded if len(path_of(encoded)) <= _LONGEST_PART else _shortened(encoded)


def _shortened(part: str) -> str:
    digest = hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    kept = part[:_KEPT]
    while len(path_of(kept)) > _LONGEST_PART - 17:
        kept = kept[:-1]
    return f"{kept}~{digest}"
