"""How likely the test rows are: negative log-likelihood, and the distance to the truth where it is known."""

from __future__ import annotations

import numpy as np

from inference.estimators import RELIABLE_SAMPLE_SIZE
from model_store.signature import Signature
from training.datasets.base import Split, Truth
from training.evaluation.asking import Asked, Scores
from training.evaluation.section import Line, Section, nats


def likelihood_section(asked: Asked, test: Split, scores: Scores, truth: Truth | None) -> Section:
    """Mean negative log-likelihoods with their standard errors over rows; the paired gap to a known truth."""
    signature = asked.signature
    nll, error = -float(scores.conditional.mean()), _standard_error(scores.conditional)
    metrics = {"nll": nll, "nll_std_error": error}
    given = "" if signature.condition.kind == "none" else " given the condition"
    lines = [Line(f"negative log-likelihood{given}", nats(nll, error), _of_what(signature, asked.draws))]
    if signature.data.is_integer and signature.space == "data":
        metrics["bits_per_dim"] = nll / (signature.data.size * np.log(2.0))
        lines.append(Line("the same in bits per dimension", f"{metrics['bits_per_dim']:.4f}", "of the integers"))
    if scores.marginal is not None:
        marginal = -float(scores.marginal.mean())
        metrics["nll_marginal"] = marginal
        lines.append(
            Line(
                "negative log-likelihood without it",
                nats(marginal, _standard_error(scores.marginal)),
                "all classes mixed",
            )
        )
    if truth is not None and test.condition is not None:
        true = truth.log_prob(test.x, test.condition)
        metrics["true_entropy"] = truth.entropy
        metrics["paired_gap"] = float((true - scores.conditional).mean())
        lines.append(Line("entropy of the truth", nats(truth.entropy), "the least there is"))
        gap_error = _standard_error(true - scores.conditional)
        note = "mean log p_true - log p over the same rows; 0 is best"
        lines.append(Line("gap to the truth", f"{metrics['paired_gap']:.4f} ± {gap_error:.4f} nats", note))
        if not signature.exact:
            single = asked.scores(test, draws=1).conditional
            metrics["single_draw_gap"] = float((true - single).mean())
            lines.append(Line("the same from one draw", nats(metrics["single_draw_gap"]), "a lower bound's gap"))
    if scores.sample_size is not None:
        metrics["effective_sample_size"] = float(np.median(scores.sample_size))
        metrics["unreliable_share"] = float(np.mean(scores.sample_size < RELIABLE_SAMPLE_SIZE))
        lines.append(
            Line(
                "effective sample size (median)",
                f"{metrics['effective_sample_size']:.1f} of {asked.draws} draws",
                f"below {RELIABLE_SAMPLE_SIZE:g} in {metrics['unreliable_share']:.1%} of rows",
            )
        )
    return Section("Likelihood", metrics, tuple(lines))


def _of_what(signature: Signature, draws: int) -> str:
    what = "of the auto-encoder's latent" if signature.space == "latent" else "in data units"
    if signature.exact:
        return f"{what}, exact"
    return f"{what}, {draws} noise draws per row" if draws > 1 else f"{what}, one noise draw per row: a bound"


def _standard_error(values: np.ndarray) -> float:
    return float(values.std() / np.sqrt(len(values)))
