"""What a kind of version can and cannot say, in sentences for its card."""

from __future__ import annotations

from model_store.signature import Signature


def good_for(signature: Signature) -> tuple[str, ...]:
    """What the version is meant for."""
    asks = ["draw samples given a condition" if signature.condition.kind != "none" else "draw samples"]
    if "score" in signature.operations:
        asks.append("score rows by their log-likelihood")
    if signature.condition.kind == "label":
        asks.append("infer the label of a row")
    elif "infer" in signature.operations:
        asks.append("read the condition back off a row")
    purpose = ", ".join(asks[:-1]) + " and " + asks[-1] if len(asks) > 1 else asks[0]
    return (
        f"Meant to {purpose}, for data like those that it was trained on. Samples are synthetic: they are no records "
        "of anybody, and no evidence.",
        "Not meant for decisions about people, nor for data of another origin, scale or preparation: nothing was "
        "measured there.",
    )


def limits(signature: Signature) -> tuple[str, ...]:
    """What must be known before its answers are believed."""
    lines: list[str] = []
    joint = any(part.name == "v" for part in signature.latent)
    if joint and signature.condition.kind == "label":
        lines.append(
            "**Joint flow with a relaxed label.** A bijection keeps total variation: the class-conditionals are as far "
            "apart in x as the Gaussians that they are mapped to, so with a small eps the model believes that classes "
            "never overlap, whatever the data do. Its raw posterior is therefore overconfident; `probabilities` "
            "apply the temperature fitted on validation rows, which keeps the most probable class. Where classes truly "
            "overlap, take a conditional-coupling flow."
        )
    elif joint:
        lines.append(
            "**Joint flow with a relaxed condition.** It takes the condition for a function of x up to a noise of sd "
            "eps: the spread of its posterior is eps everywhere and says nothing about how uncertain the data leave "
            "the condition. For noisy conditions and posterior inference, take a conditional-coupling flow."
        )
    if signature.condition.kind == "label":
        lines.append(
            "The label posterior is shared among the listed classes: a row that belongs to none of them still gets "
            "one. Look at `percentile` and `p_value` of /loglik beside it."
        )
    if signature.space == "latent":
        lines.append(
            "**The likelihood is that of the auto-encoder's latent**, not of the picture: it has no bits per "
            "dimension, is not comparable with densities of other models, and does not see what the encoder drops."
        )
    if any(part.name == "padding" for part in signature.noise):
        lines.append(
            "Log-likelihoods average over noise on the padding by importance sampling: they come with a standard "
            "error and an effective sample size, and are marked unreliable where the latter is below 10."
        )
    if any(part.name == "dequantization" for part in signature.noise):
        lines.append(
            "Likelihoods are those of the integer data, estimated over dequantization noise: on average a lower "
            "bound, tighter with more draws."
        )
    lines.append(
        "A high likelihood alone does not mean that a row is like the training data: smooth or simple rows can score "
        "higher than real ones."
    )
    return tuple(lines)
