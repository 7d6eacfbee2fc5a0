"""Questions of tools to people: how an attempt ends with one, and the next one has the answer."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from runyard_worker.errors import ToolError

MAX_QUESTION_CHARS = 4096
MAX_STATE_BYTES = 64 * 1024


class QuestionAsked(BaseException):  # no failure: no handler of errors may take it
    """The attempt ends here; its function is called again with the answer."""

    def __init__(self, question: str, sealed_state: bytes) -> None:
        super().__init__(question)
        self.question = question
        self.sealed_state = sealed_state


class Asking:
    """What the attempts of a call asked, were answered, and kept.

    Args:
        sealed_state: Of the attempt before; empty for the first one.
        answer_json: What a person hands to the tool; empty for nothing.

    Attributes:
        kept: JSON values that the next attempt finds.
        passed: What came with an approval; None for nothing.

    Raises:
        ToolError: The state is none of this library.
    """

    def __init__(self, sealed_state: bytes = b"", answer_json: str = "") -> None:
        given = json.loads(answer_json) if answer_json else None
        self.kept: dict[str, Any] = {}
        self.passed = None if sealed_state else given
        self._said: list[tuple[str, Any]] = []
        if sealed_state:
            self._open(sealed_state, given)
        self._left: dict[str, list[Any]] = defaultdict(list)
        for question, answer in self._said:
            self._left[question].append(answer)

    def _open(self, sealed_state: bytes, answer: Any) -> None:
        try:
            state = json.loads(sealed_state)
            self.kept = dict(state["kept"])
            self._said = [(str(asked), said) for asked, said in state["said"]]
            self._said.append((str(state["asked"]), answer))
        except (ValueError, TypeError, KeyError) as error:
            text = "another kind of worker asked in this call: its state cannot be read"
            raise ToolError(text, code="FOREIGN_STATE") from error

    def ask(self, question: str) -> Any:
        """The answer to a question; the first time it ends the attempt.

        A question that is asked again in the same call gets its answers in their order.

        Raises:
            ToolError: The question cannot be asked, or what was kept is too large.
        """
        if self._left[question]:
            return self._left[question].pop(0)
        if not 0 < len(question) <= MAX_QUESTION_CHARS:
            text = f"a question has 1 to {MAX_QUESTION_CHARS} characters, not {len(question)}"
            raise ToolError(text, code="BAD_QUESTION")
        state = {"said": self._said, "asked": question, "kept": self.kept}
        sealed = json.dumps(state).encode()
        if len(sealed) > MAX_STATE_BYTES:
            text = f"answers and what was kept have {len(sealed)} bytes, at most {MAX_STATE_BYTES}"
            raise ToolError(text, code="TOO_MUCH_KEPT")
        raise QuestionAsked(question, sealed)
