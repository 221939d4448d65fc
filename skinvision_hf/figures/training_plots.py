"""The figure of a training run."""

import json
from pathlib import Path

from skinvision_hf.errors import DataError
from skinvision_hf.evaluation.metrics import metric_title
from skinvision_hf.figures.style import MUTED, PALETTE, SPLIT_COLOURS, new_figure, save_figure

__all__ = ["plot_training"]

METRICS = dict(zip(("balanced_accuracy", "macro_f1", "mean_auc", "accuracy"), PALETTE[4:] + PALETTE[2:3], strict=True))


def plot_training(history: str | Path, path: str | Path) -> Path:
    """Draw loss, validation metrics and learning rate over the epochs of both phases.

    Args:
        history: The `history.jsonl` of a release.
        path: Where to.

    Raises:
        DataError: If the history cannot be read.
    """
    try:
        records = [json.loads(line) for line in Path(history).read_text(encoding="utf-8").splitlines()]
        loss = {"train": [r["train_loss"] for r in records], "validation": [r["validation_log_loss"] for r in records]}
        metrics = {key: [r[f"validation_{key}"] for r in records] for key in METRICS}
        rates = [max(r["learning_rate"], 1e-7) for r in records]
        heads = sum(r["phase"] == "head" for r in records)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{history} is not a valid training history ({error}); leave it out or train again") from error
    epochs = range(1, len(records) + 1)
    with new_figure(11, 4.2) as figure:
        axes = figure.subplots(1, 3)
        for split, values in loss.items():
            axes[0].plot(epochs, values, ".-", color=SPLIT_COLOURS[split], label=split)
        for key, values in metrics.items():
            axes[1].plot(epochs, values, ".-", color=METRICS[key], label=metric_title(key))
        axes[2].semilogy(epochs, rates, ".-", color=MUTED)
        axes[0].set(title="Loss", ylabel="Training loss, validation log loss")
        axes[1].set(title="Validation", ylabel="Metric", ylim=(0, 1))
        axes[2].set(title="Learning rate at the end of the epoch", ylabel="Rate")
        for axis in axes:
            axis.set_xlabel("Epoch (head phase shaded)")
            axis.xaxis.get_major_locator().set_params(integer=True)
            if heads:
                axis.axvspan(0.5, heads + 0.5, color=MUTED, alpha=0.15)
        # Below the axes, where a legend covers no line.
        for axis, columns in ((axes[0], 2), (axes[1], 2)):
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=columns, fontsize=8)
        return save_figure(figure, path)
