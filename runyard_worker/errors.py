"""How a tool says that it cannot do what is asked."""

from __future__ import annotations


class ToolError(Exception):
    """The tool cannot do what is asked; the model reads the text.

    Attributes:
        code: A stable name of the failure, for programs.
    """

    def __init__(self, message: str, *, code: str = "FAILED") -> None:
        super().__init__(message)
        self.code = code


class RetryableError(ToolError):
    """The tool cannot do it now. A call that may run twice is made again."""

    def __init__(self, message: str, *, code: str = "UNAVAILABLE") -> None:
        super().__init__(message, code=code)
