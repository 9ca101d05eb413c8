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


class EmptyInputError(TokenclockError, ValueError):
    """
    Raised when there are no results where at least one is needed.

    .. versionadded:: 0.1.0
    """


class MissingExtraError(TokenclockError, ImportError):
    """
    Raised when an opt-in part needs a package that is not installed.

    Attributes:
        extra: The extra of tokenclock that installs it.

    .. versionadded:: 0.1.0
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} {package}, which is not installed. "
            f"Install it with: pip install 'tokenclock[{extra}]'."
        )
        self.extra = extra


class MissingPackageError(TokenclockError, ImportError):
    """
    Raised when something needs a package that is not installed, and no extra installs.

    .. versionadded:: 0.1.0
    """

    def __init__(self, what: str, package: str) -> None:
        super().__init__(
            f"{what} {package}, which is not installed. Install it with: pip install {package}."
        )


class NoRecordFileError(InvalidRecordError):
    """
    Raised when a file given to ``read_records`` is no file of records.

    Attributes:
        path: The file.
        line_number: The line that shows it, counted from 1; ``None`` where no line was read.

    .. versionadded:: 0.1.0
    """

    def __init__(self, message: str, *, path: str, line_number: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line_number = line_number


class ClosedSinkError(TokenclockError, ValueError):
    """
    Raised when a sink that was closed is given a result.

    .. versionadded:: 0.1.0
    """


class AlreadyInstalledError(TokenclockError, RuntimeError):
    """
    An exporter of which there can be one was installed a second time.

    .. versionadded:: 0.1.0
    """


class TokenclockWarning(UserWarning):
    """
    The category of every warning that tokenclock gives.

    .. versionadded:: 0.1.0
    """
