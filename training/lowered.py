"""What a lower precision does to a model's answers, measured on a CPU before a version may be served in it.

A card multiplies faster where it may be less exact. bf16 rounds the same way everywhere, so it is simply run. TF32 is
nowhere but on a card: here the factors of every product are cut to its ten bits of mantissa, and added up in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from flows.conditioners.precision import in_precision
from flows.functions import Function
from flows.models.base import Model
from model_store.manifest import GraphError, Lowered

TF32_MASK = ~((1 << 13) - 1)  # float32 has 23 bits of mantissa, TF32 ten
WORST = 0.1  # of the largest answer: past that a precision is not recorded, and so not served
_PRODUCTS: dict[Any, slice] = {  # which arguments are factors
    torch.ops.aten.mm.default: slice(0, 2),
    torch.ops.aten.bmm.default: slice(0, 2),
    torch.ops.aten.addmm.default: slice(1, 3),
    torch.ops.aten.baddbmm.default: slice(1, 3),
    torch.ops.aten.convolution.default: slice(0, 2),
}


class CutFactors(TorchDispatchMode):
    """Inside, both factors of each product and convolution in float32 lose their last 13 bits.

    >>> with CutFactors():
    ...     torch.tensor([[1 + 2**-11, 1 + 2**-10]]) @ torch.eye(2)
    tensor([[1.0000, 1.0010]])
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Cut, then do as asked."""
        factors = _PRODUCTS.get(func)
        if factors is not None:
            args = list(args)
            args[factors] = [_cut(factor) for factor in args[factors]]
        return func(*args, **(kwargs or {}))


@contextmanager
def lowered(model: Model, precision: Lowered) -> Iterator[None]:
    """Inside, `model` on a CPU computes as a card does in that precision."""
    if precision == "bf16":
        with in_precision(model, "bf16"):
            yield
    else:
        with CutFactors():
            yield


def precision_errors(
    model: Model,
    exact: Mapping[str, tuple[Function, tuple[Tensor, ...], Mapping[str, np.ndarray]]],
) -> dict[Lowered, dict[str, GraphError]]:
    """By precision and operation, the largest |answer - exact|, and the same relative to the largest |exact|.

    Of integers, where rounding makes a whole level of however little, the latter is the mean's.

    Args:
        model: in float32.
        exact: by operation a function of it, inputs from x on, and what the same in float64 answers to them.

    A precision in which some answer is not finite, or off by more than `WORST`, is left out.
    """
    found: dict[Lowered, dict[str, GraphError]] = {}
    for precision in get_args(Lowered):
        with torch.no_grad(), lowered(model, precision):
            errors = {name: _error(*of, integers=_integers(model, name)) for name, of in exact.items()}
        if all(error is not None for error in errors.values()):
            found[precision] = {name: error for name, error in errors.items() if error is not None}
    return found


def _integers(model: Model, operation: str) -> bool:
    return operation == "decode" and model.data.levels is not None


def _error(
    function: Function, inputs: tuple[Tensor, ...], exact: Mapping[str, np.ndarray], *, integers: bool
) -> GraphError | None:
    outputs = function(*inputs)
    made = outputs if isinstance(outputs, tuple) else (outputs,)
    absolute = relative = 0.0
    for output, reference in zip(made, exact.values(), strict=True):
        difference = np.abs(output.numpy() - reference)
        if not np.isfinite(difference).all():
            return None
        error = float(difference.max(initial=0.0))
        absolute = max(absolute, error)
        counted = float(difference.mean()) if integers else error
        relative = max(relative, counted / max(float(np.abs(reference).max(initial=0.0)), 1e-6))
    if relative > WORST:
        return None
    return GraphError(max_abs=absolute, max_rel=relative, batch_sizes=(len(inputs[0]),))


def _cut(factor: Tensor) -> Tensor:
    if factor.dtype != torch.float32:
        return factor
    return (factor.contiguous().view(torch.int32) & TF32_MASK).view(torch.float32)
