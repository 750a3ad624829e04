"""Links of an HDF5 file to other files, which a reader would follow."""

from typing import Any


def first_outside(content: Any) -> str:
    """Describes the first thing in a file that reads another file, '' where there is none.

    External links, datasets in external storage and virtual datasets read whatever path they name.

    Args:
        content: the file, a path or a binary file object.

    Raises:
        OSError: it is not an HDF5 file.
    """
    import h5py

    with h5py.File(content, "r") as file:
        groups: list[Any] = [file["/"]]
        seen = set()  # hard links may form loops
        while groups:
            group = groups.pop()
            if group.id in seen:
                continue
            seen.add(group.id)
            for name in group:
                where = f"{group.name.rstrip('/')}/{name}"
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    return f"its part {where!r} links to the file {link.filename!r}"
                if not isinstance(link, h5py.HardLink):  # Within this file, which is gone through.
                    continue
                found = group[name]
                if isinstance(found, h5py.Group):
                    groups.append(found)
                elif isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
                    return f"its part {where!r} is kept in another file"
    return ""
