"""How a fit goes: batches, rate, averaging, stopping, checkpoints. Part of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flows.conditioners.precision import Precision
from model_store.signature import Frozen
from training.augmentation import Augmentation
from training.schedules import Schedule

Positive = Annotated[int, Field(ge=1)]


Step = Literal["auto", "eager", "compiled", "graphed", "compiled-graphed"]


class Loop(Frozen, allow_inf_nan=False):
    """One pass through the loop. An epoch is `steps_per_epoch` batches, or all of the training rows once.

    `clip` bounds the norm of the gradient; `average` is the decay of the moving average of the weights, which then is
    what is validated and kept; `patience` counts epochs without a better validation loss; weights of lowest validation
    loss are kept. A checkpoint is written every `checkpoint_steps` steps and at every epoch's end. `gradient_weight`
    weighs the squared error of oriented gradients beside that of the pixels: of those that an auto-encoder predicts in
    a stage of its own, or of those of the decoded image where the likelihood reaches the encoder. `feature_weight`
    weighs what the layers of `Fit.perception` make of the decoded image: their relative squared errors, or in the
    decoder's stage their distances beside those of the pixels. `precision` is that of the products in the flow's
    conditioners; weights, log-determinants and validation are float32 in any case. `step` is how a step runs
    (`training.gradients`); `auto` takes the fastest on a card and `eager` on the CPU.
    """

    epochs: Positive = 10
    steps_per_epoch: Positive | None = None
    batch: Positive = 256
    rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Schedule = Schedule()
    optimizer: Literal["adam", "adamw"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(gt=0)] | None = 10.0
    average: Annotated[float, Field(ge=0, lt=1)] | None = None
    patience: Positive | None = None
    checkpoint_steps: Positive = 500
    latent_noise: Annotated[float, Field(ge=0)] = 0.05
    gradient_weight: Annotated[float, Field(ge=0)] = 0.0
    feature_weight: Annotated[float, Field(ge=0)] = 0.0
    augmentation: Augmentation = Augmentation()
    precision: Precision = "float32"
    step: Step = "auto"


class Fit(Loop):
    """The fit of a model. `autoencoder` is the first stage of a latent flow whose likelihood stops at the latent.

    Latent flows of labelled images may begin with the fit of a small classifier, `perception`, for its features alone,
    and end with one of the `decoder` alone, by the energy score of its draws, while encoder and flow stay as they are.
    `settling` fits the flow alone once more where the likelihood reaches the encoder: to the latents of an encoder that
    now keeps still.

    `padding` noise of joint flows is drawn afresh in every step or fixed per row. `reconstruction` weighs the
    squared error beside the likelihood that reaches the encoder; only the share `reconstructed` of each batch is
    decoded for it, which is unbiased and spares the decoder. `copies`: how often the training images are encoded
    for the second stage, each time augmented anew.
    """

    padding: Literal["fresh", "fixed"] = "fresh"
    reconstruction: Annotated[float, Field(gt=0)] = 10.0
    reconstructed: Annotated[float, Field(gt=0, le=1)] = 1.0
    copies: Positive = 1
    autoencoder: Loop | None = None
    perception: Loop | None = None
    settling: Loop | None = None
    decoder: Loop | None = None
