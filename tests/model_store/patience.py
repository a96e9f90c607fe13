"""Settings for hypothesis on a machine that is shared: what is slow is not wrong."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

PATIENT = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
