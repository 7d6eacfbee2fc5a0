"""Tells a shortage of this machine from a failure of a provider."""

from __future__ import annotations

import errno
import os
import socket

from services.router.core.failures import Failure, FailureClass

# No file, memory or port for one more connection.
LOCAL_ERRNOS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL)
_NO_THREAD = "can't start new thread"


def local_limit(error: BaseException) -> Failure | None:
    """The failure behind an error that no provider is at fault for; None for any other error."""
    if isinstance(error, MemoryError):
        return of_errno(errno.ENOMEM)
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        # Names are looked up in threads.
        return _failure("no more threads")
    if not isinstance(error, OSError):
        return None
    if error.errno in LOCAL_ERRNOS:
        return of_errno(error.errno)
    return of_errno(errno.ENOMEM) if error.errno == socket.EAI_MEMORY else None


def of_errno(number: int) -> Failure:
    return _failure(os.strerror(number).lower())


def _failure(shortage: str) -> Failure:
    return Failure(FailureClass.LOCAL_LIMIT, detail=shortage)
