"""Messages, as Anthropic writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from services.content.model import Message
from services.fake_provider.answers import Answer, Json
from services.fake_provider.conversation import anthropic_messages
from services.router.core.script import words

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_SIGNATURE = "c2NyaXB0ZWQ="


class AnthropicDialect:
    """Implements ``Dialect``."""

    path = "/v1/messages"
    overloaded_status = 529
    garbage = b"event: content_block_delta\ndata: {this is no answer\n\n"

    def messages(self, body: object) -> list[Message]:
        return anthropic_messages(body)

    def whole(self, answer: Answer) -> Json:
        return {
            **_head(answer),
            "content": list(_blocks(answer)),
            "stop_reason": _stop_reason(answer),
            "stop_sequence": None,
            "usage": _usage(answer),
        }

    def events(self, answer: Answer) -> list[bytes]:
        return [
            _started(answer),
            *_content(answer),
            _event(
                "message_delta",
                delta={"stop_reason": _stop_reason(answer), "stop_sequence": None},
                usage={"output_tokens": answer.usage.output_tokens},
            ),
            _event("message_stop"),
        ]

    def begun(self, answer: Answer) -> list[bytes]:
        # The last block of an answer that goes on is not at its end.
        return [_started(answer), *list(_content(answer))[:-1]]

    def error(self, status: int, text: str) -> Json:
        kind = _TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": text}}


def _started(answer: Answer) -> bytes:
    usage = {**_usage(answer), "output_tokens": 1}
    rest: Json = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    return _event("message_start", message={**_head(answer), **rest})


def _head(answer: Answer) -> Json:
    head = {"id": f"msg_{answer.id}", "type": "message", "role": "assistant"}
    return {**head, "model": answer.model}


def _blocks(answer: Answer) -> Iterator[Json]:
    reply = answer.reply
    if reply.reasoning:
        yield {"type": "thinking", "thinking": reply.reasoning, "signature": _SIGNATURE}
    if reply.text:
        yield {"type": "text", "text": reply.text}
    for call in answer.calls:
        arguments = json.loads(call.arguments_json)
        yield {"type": "tool_use", "id": call.call_id, "name": call.tool_id, "input": arguments}


def _content(answer: Answer) -> Iterator[bytes]:
    for index, block in enumerate(_blocks(answer)):
        yield _event("content_block_start", index=index, content_block=_empty(block))
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)


def _empty(block: Json) -> Json:
    match block["type"]:
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "text":
            return {"type": "text", "text": ""}
        case _:
            return {**block, "input": {}}


def _deltas(block: Json) -> Iterator[Json]:
    match block["type"]:
        case "thinking":
            for word in words(str(block["thinking"])):
                yield {"type": "thinking_delta", "thinking": word}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            for word in words(str(block["text"])):
                yield {"type": "text_delta", "text": word}
        case _:
            arguments = json.dumps(block["input"], ensure_ascii=False)
            yield {"type": "input_json_delta", "partial_json": arguments}


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.calls else "end_turn"


def _usage(answer: Answer) -> Json:
    return {"input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens}


def _event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()
