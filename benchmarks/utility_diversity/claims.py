"""Online selection on redundant sequences, with clean and with wrong labels.

Paper: Zou et al., ICML 2026; its fine-tuned language models need accelerators. Here a small
network learns tokens of sequences, half of which are near-copies of five. Nothing is chosen
on test rows.
"""

import numpy as np

from benchmarks.claims import Outcome, claim
from benchmarks.utility_diversity._sequences import sequences, train

SEEDS, NOISY_SHARE = range(8), 0.2
RULES = ("UDS", "UDS, the authors' weight", "random", "MaxLoss", "utility alone", "diversity alone",
         "z-scored, equal weights", "full batch")  # fmt: skip
OVER_RANDOM, OVER_LOSS = 0.08, 0.2


def accuracies(noisy_share):
    """Accuracy (n_seeds,) of each rule."""
    data = {seed: sequences(seed, noisy_share) for seed in SEEDS}
    return {
        name: np.array([train(name, seed, data[seed]) for seed in SEEDS])
        for name in RULES
    }


@claim(
    "With 2 of 16 samples kept of each batch, selection by utility and diversity is at least "
    f"{OVER_RANDOM} more accurate than random selection, with clean labels and with 20 % of "
    f"the samples mislabelled, and there at least {OVER_LOSS} more than the largest losses"
)
def redundant_sequences():
    """Token accuracy on sequences without copies."""
    clean, noisy = accuracies(0.0), accuracies(NOISY_SHARE)
    gains = [found["UDS"] - found["random"] for found in (clean, noisy)]
    over_loss = noisy["UDS"] - noisy["MaxLoss"]
    passed = [gain.mean() >= OVER_RANDOM for gain in gains]
    passed.append(over_loss.mean() >= OVER_LOSS)
    verdict = (
        "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced"
    )
    shown = " ± ".join(("{:+.3f}", "{:.3f}"))
    gain_clean, gain_noisy, gain_loss = (
        shown.format(gain.mean(), gain.std(ddof=1)) for gain in (*gains, over_loss)
    )
    return Outcome(
        verdict,
        summary=(
            f"{len(SEEDS)} seeds: over random {gain_clean} with clean labels, {gain_noisy} "
            f"with wrong ones; there over MaxLoss {gain_loss}. Clean: "
            f"{clean['UDS'].mean():.3f}, MaxLoss {clean['MaxLoss'].mean():.3f}, full "
            f"batches {clean['full batch'].mean():.3f}. Utility alone is as good: "
            f"{clean['utility alone'].mean():.3f} and {noisy['utility alone'].mean():.3f} "
            f"beside {clean['UDS'].mean():.3f} and {noisy['UDS'].mean():.3f}; diversity "
            f"alone {clean['diversity alone'].mean():.3f} and "
            f"{noisy['diversity alone'].mean():.3f}."
        ),
        measured={
            label: {
                name: f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
                for name, values in found.items()
            }
            for label, found in (("clean labels", clean), ("20 % wrong", noisy))
        },
    )
