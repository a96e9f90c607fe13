"""A loaded version answers arrays: engines, seeds, estimators.

`load` a version, ask it a question, and drive the question with `answer`:

    loaded = load(store, "digits")
    samples = answer(loaded.engine, sample(loaded, condition="3", num_samples=16, seed=7))
"""

from inference.condition_inference import InferredConditions, InferredLabels, infer_condition
from inference.encoding import Latents, encode
from inference.engine import Engine, EngineError, EngineLost, EngineOutOfMemory
from inference.errors import CannotAnswer, FieldError, LoadError
from inference.likelihood import LogLikelihood, log_likelihood
from inference.loaded import Loaded
from inference.loading import load, load_version
from inference.onnx_engine import OnnxEngine
from inference.sampling import Samples, Summarized, sample, summarize
from inference.work import Question, Work, answer

__all__ = [
    "CannotAnswer",
    "Engine",
    "EngineError",
    "EngineLost",
    "EngineOutOfMemory",
    "FieldError",
    "InferredConditions",
    "InferredLabels",
    "Latents",
    "LoadError",
    "Loaded",
    "LogLikelihood",
    "OnnxEngine",
    "Question",
    "Samples",
    "Summarized",
    "Work",
    "answer",
    "encode",
    "infer_condition",
    "load",
    "load_version",
    "log_likelihood",
    "sample",
    "summarize",
]
