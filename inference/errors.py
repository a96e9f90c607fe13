"""What can be wrong with a question or with a version. Engine failures are in `inference.engine`."""

from __future__ import annotations


class FieldError(ValueError):
    """A field of a question has the wrong shape, type or range.

    `pointer` is a JSON pointer to the field (`/x/3/0`), `message` says what was expected and what was found.
    """

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer}: {message}")
        self.pointer = pointer
        self.message = message


class CannotAnswer(ValueError):
    """The question is well formed, but this version cannot answer it; `reason` says why.

    `pointer` is a JSON pointer to the field to blame: `/model`, or the row that it cannot answer for.
    """

    def __init__(self, reason: str, pointer: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer


class LoadError(RuntimeError):
    """A version was refused; nothing of it is used. `path` is the file at fault, or None."""

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message if path is None else f"{path}: {message}")
        self.path = path


class MissingFile(LoadError):
    """A file that the signature needs is not in the manifest, or its bytes are not to be had."""


class ChangedFile(LoadError):
    """The bytes are not those that the manifest names (digest or size)."""


class InconsistentManifest(LoadError):
    """Class priors, calibration or validation scores contradict the signature or each other."""


class MalformedWeights(LoadError):
    """Not a well-formed safetensors file."""


class WrongKey(LoadError):
    """A graph names a tensor that the weights do not have under that name, or a needed key is absent."""


class WrongShape(LoadError):
    """A tensor's shape is not the expected one."""


class WrongDtype(LoadError):
    """A tensor's data type is not the expected one."""


class NonFiniteWeight(LoadError):
    """A weight is NaN or infinite."""


class MalformedGraph(LoadError):
    """Not a well-formed ONNX model, too large, or one that ONNX Runtime refuses."""


class ForeignOperator(LoadError):
    """The graph uses an operator, domain or local function that is not allowed."""


class ForeignExternalData(LoadError):
    """External data that is not exactly one tensor of `weights.safetensors`."""


class SignatureMismatch(LoadError):
    """The graph's inputs or outputs are not those of the signature."""


class ProbeFailed(LoadError):
    """The self-test did not give the stored answers."""
