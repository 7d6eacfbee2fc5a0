"""A unary gRPC call in plain bytes, with headers that no gRPC client would let through."""

from __future__ import annotations

import asyncio

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_EMPTY_MESSAGE = bytes(5)


async def raw_call(port: int, method: str, *headers: tuple[bytes, bytes]) -> None:
    """Call ``method`` with an empty message; return once the server has answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *headers,
    ]
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
    writer.write(
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, block)
        + _frame(_DATA, _END_STREAM, 1, _EMPTY_MESSAGE)
    )
    try:
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == _HEADERS and head[4] & _END_STREAM:
                return
    finally:
        writer.close()
        await writer.wait_closed()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def _text(value: bytes) -> bytes:
    """Of HPACK, without compression."""
    if len(value) > 126:
        raise ValueError("longer texts need another form")
    return bytes([len(value)]) + value
