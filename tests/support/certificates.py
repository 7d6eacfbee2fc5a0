"""An authority for tests, and files as an operator would have them."""

from __future__ import annotations

import os
from pathlib import Path

import trustme


class Authority:
    """Signs certificates, and writes them into a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *identities: str) -> tuple[str, str]:
        """Files of a new certificate and its key; those that have these names are replaced."""
        issued = self._ca.issue_cert(*(identities or ("localhost", "127.0.0.1")))
        cert, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        for path, blob in (
            (key, issued.private_key_pem.bytes()),
            (cert, b"".join(pem.bytes() for pem in issued.cert_chain_pems)),
        ):
            scratch = path.with_suffix(".new")
            scratch.write_bytes(blob)
            os.replace(scratch, path)
        return str(cert), str(key)
