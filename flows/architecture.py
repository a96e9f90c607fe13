"""From a frozen configuration to a model: `build` is the only constructor, `load_architecture` reads a stored one."""

from __future__ import annotations

from pydantic import TypeAdapter

from flows import config as configs
from flows.bijections.base import Bijection
from flows.bijections.elementwise import BoundedSupport, Logit, Softplus, Standardize
from flows.condition import ConditionShape
from flows.conditioners.image_encoder import ImageEncoder
from flows.config import Architecture, CouplingConfig, JointConfig, LatentConfig
from flows.densities import ConditionalNormal
from flows.models.autoencoder import AutoEncoder
from flows.models.base import Model
from flows.models.coupling import ConditionalCouplingFlow
from flows.models.embedding import Embedding, ImageEmbedding, LabelEmbedding, NoEmbedding, VectorEmbedding
from flows.models.joint import JointFlow
from flows.models.latent import LatentFlow
from flows.models.preprocessing import Preprocessing
from flows.stack import conditioner_of, stack

_ADAPTER: TypeAdapter[Architecture] = TypeAdapter(Architecture)


def load_architecture(content: bytes | str) -> Architecture:
    """The configuration in a version's `architecture.json`.

    Raises pydantic's ValidationError (a ValueError), which names each unknown, missing or wrong field.
    """
    return _ADAPTER.validate_json(content)


def build(config: Architecture) -> Model:
    """The model that `config` describes, as the identity map between standardised data and latent.

    Permutations follow from `config.seed`, initial weights from torch's global generator.

    >>> model = build(JointConfig(data={"shape": (2,)}, condition={"kind": "label", "classes": 8}))
    >>> model.latent
    (Part(name='z', shape=(2,), distribution='normal'), Part(name='v', shape=(8,), distribution='normal'))
    """
    match config:
        case JointConfig():
            return _joint(config)
        case CouplingConfig():
            return _coupling(config)
        case LatentConfig():
            autoencoder = AutoEncoder(config.data.shape, config.autoencoder, config.normalize)
            inner = _joint(config.flow) if isinstance(config.flow, JointConfig) else _coupling(config.flow)
            return LatentFlow(config, autoencoder, inner)


def _joint(config: JointConfig) -> JointFlow:
    features = config.data.size + (config.padding or 0)
    bijection = stack(config, features, ConditionShape())
    return JointFlow(config, _preprocessing(config), _embedding(config.condition), bijection)


def _coupling(config: CouplingConfig) -> ConditionalCouplingFlow:
    embedding = _embedding(config.condition, config.image_encoder)
    bijection = stack(config, config.data.size, embedding.shape)
    prior = None
    if config.prior == "conditional":
        prior = ConditionalNormal(config.data.size, conditioner_of(config.conditioner), embedding.shape)
    return ConditionalCouplingFlow(config, _preprocessing(config), embedding, bijection, prior)


def _embedding(config: configs.ConditionConfig, encoder: configs.ImageEncoder | None = None) -> Embedding:
    match config:
        case configs.LabelCondition(classes=classes):
            return LabelEmbedding(classes)
        case configs.VectorCondition(size=size):
            return VectorEmbedding(size)
        case configs.ImageCondition(shape=shape, levels=levels):
            assert encoder is not None
            return ImageEmbedding(ImageEncoder(shape, channels=encoder.channels, features=encoder.features), levels)
        case configs.NoCondition():
            return NoEmbedding()


def _preprocessing(config: configs.Flow) -> Preprocessing:
    assert config.preprocessing is not None
    steps: list[Bijection] = []
    for step in config.preprocessing:
        match step:
            case configs.Dequantize():
                pass  # Preprocessing itself, since it is no bijection: it takes noise
            case configs.Logit(alpha=alpha):
                steps.append(Logit(alpha))
            case configs.Softplus():
                steps.append(Softplus())
            case configs.Support(lower=lower, upper=upper):
                steps.append(BoundedSupport(lower, upper))
            case configs.Standardize():
                steps.append(Standardize(config.data.size))
    return Preprocessing(config.data, steps)
