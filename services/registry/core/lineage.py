"""What tells a version from another one of the same number.

A database that is put back to an older state and published to again gives its numbers out a second
time. Each version therefore carries a digest of the whole history that led to it: two versions with
one number and one lineage are the same version.
"""

from __future__ import annotations

import hashlib

from services.registry.core.ports import Publication

# Part of every lineage: a change of this form must not pass for the same history.
_FORM = b"runyard.registry.lineage/1\n"
_BYTES = 16


def next_lineage(previous: str, publication: Publication) -> str:
    """The lineage of ``publication``, which follows a version with lineage ``previous``."""
    digest = hashlib.sha256(_FORM)
    for text in (
        previous,
        str(publication.version),
        publication.at.isoformat(),
        publication.by,
        publication.method,
        publication.request_id,
    ):
        _add(digest, text.encode("utf-8"))
    for written in publication.upserts:
        _add(digest, b"%d\0%s" % (written.ref.kind, written.ref.id.encode("utf-8")))
        _add(digest, written.content_hash)
    for ref in publication.removed:
        _add(digest, b"-%d\0%s" % (ref.kind, ref.id.encode("utf-8")))
    return digest.digest()[:_BYTES].hex()


def _add(digest: hashlib._Hash, field: bytes) -> None:
    # With its length: no two histories may make the same bytes.
    digest.update(b"%d:" % len(field) + field)
