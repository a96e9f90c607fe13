"""Bring your own flow: ONNX graphs that somebody exported become a version, after a trial in a limited process.

publish(Given(signature=..., graphs={"decode": ..., "score": ...}), store, "mine")
"""

from inference.publishing.given import Given
from inference.publishing.job import Limits
from inference.publishing.publish import publish
from inference.publishing.sandbox import TrialFailed

__all__ = ["Given", "Limits", "TrialFailed", "publish"]
