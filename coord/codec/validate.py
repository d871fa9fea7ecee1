"""The checks a service makes before it proposes: the core's own, so that both always agree."""

from __future__ import annotations

from coord.core.base.bounds import validate_name
from coord.core.kv.bounds import validate_range
from coord.core.validate import validate, validate_request_id

__all__ = ["validate", "validate_name", "validate_range", "validate_request_id"]
