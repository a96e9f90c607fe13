"""All operations, by name."""

from __future__ import annotations

from service.operations.base import Operation
from service.operations.encode import Encode
from service.operations.infer_condition import InferCondition
from service.operations.loglik import Loglik
from service.operations.sample import Sample

OPERATIONS: dict[str, Operation] = {
    operation.name: operation for operation in (Sample(), Loglik(), InferCondition(), Encode())
}
