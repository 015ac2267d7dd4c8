"""What is sent to a server under test, and what its answers mean."""

from pytest_fastr.load.outcome import describe_failures, describe_outcome, describe_status, failures
from pytest_fastr.load.request import RequestSpec, build_request

__all__ = [
    "RequestSpec",
    "build_request",
    "describe_failures",
    "describe_outcome",
    "describe_status",
    "failures",
]
