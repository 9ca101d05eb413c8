"""What tokenclock raises and warns with."""

from __future__ import annotations


class TokenclockError(Exception):
    """
    Base of every error that tokenclock raises on purpose.

    .. versionadded:: 0.1.0
    """


class NotMeasurableError(TokenclockError, TypeError):
    """
    Raised when something is decorated or measured that produces nothing to time.

    .. versionadded:: 0.1.0
    """


class InvalidOptionError(TokenclockError, TypeError):
    """
    Raised when an option is unknown or of the wrong kind.

    Attributes:
        option: The option's name.

    .. versionadded:: 0.1.0
    """

    def __init__(self, message: str, *, option: str = "") -> None:
        super().__init__(message)
        self.option = option


class InvalidRecordError(TokenclockError, ValueError):
    """
    Raised when a mapping given to ``MetricsResult.from_dict`` is not a record of a result.

    .. versionadded:: 0.1.0
    """


class TokenclockWarning(UserWarning):
    """
    The category of every warning that tokenclock gives.

    .. versionadded:: 0.1.0
    """
