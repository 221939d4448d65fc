"""Five ways to score how much an image's features look like those of the training images; higher is more typical."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = [
    "DETECTORS",
    "Detector",
    "Energy",
    "Mahalanobis",
    "MaximumLogit",
    "Neighbours",
    "TrainingFeatures",
    "ViM",
    "detector_name",
]

COMPONENTS = 64
"""Directions that the fitted detectors keep of the features, so that they stay small."""

NEIGHBOURS = 10
BANK_SIZE = 1500


@dataclass(frozen=True)
class TrainingFeatures:
    """What detectors are fitted on.

    Attributes:
        features: Pooled features of training images (n, d) float32.
        labels: Their classes (n,) int64.
        weight: Weight of the classifier (7, d).
        bias: Bias of the classifier (7,).
    """

    features: Tensor
    labels: Tensor
    weight: Tensor
    bias: Tensor


class Detector(Protocol):
    """A frozen dataclass of tensors with a score."""

    @classmethod
    def fit(cls, training: TrainingFeatures) -> "Detector":
        """Fit on training images."""

    def score(self, features: Tensor) -> Tensor:
        """From features (n, d) to scores (n,); higher is more typical."""


@dataclass(frozen=True)
class MaximumLogit:
    """The largest logit (Hendrycks et al. 2022, arXiv:1911.11132)."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def fit(cls, training: TrainingFeatures) -> "MaximumLogit":
        """Take over the classifier."""
        return cls(training.weight, training.bias)

    def score(self, features: Tensor) -> Tensor:
        """From features (n, d) to scores (n,)."""
        return (features @ self.weight.T + self.bias).amax(dim=1)


@dataclass(frozen=True)
class Energy:
    """The negative free energy of the logits (Liu et al. 2020, arXiv:2010.03759)."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def fit(cls, training: TrainingFeatures) -> "Energy":
        """Take over the classifier."""
        return cls(training.weight, training.bias)

    def score(self, features: Tensor) -> Tensor:
        """From features (n, d) to scores (n,)."""
        return (features @ self.weight.T + self.bias).logsumexp(dim=1)


@dataclass(frozen=True)
class Mahalanobis:
    """Squared distance to the nearest class mean under a shared covariance (Lee et al. 2018, arXiv:1807.03888).

    The covariance is exact along the main directions of the features around their class means; along all others one
    variance serves, as in probabilistic principal components (Tipping and Bishop 1999).
    """

    means: Tensor
    components: Tensor
    variances: Tensor

    @classmethod
    def fit(cls, training: TrainingFeatures) -> "Mahalanobis":
        """Estimate the class means and the shared covariance."""
        present, index = torch.unique(training.labels, return_inverse=True)
        means = torch.stack([training.features[training.labels == k].mean(dim=0) for k in present])
        residual = training.features - means[index]
        variances, components = torch.linalg.eigh(residual.T @ residual / len(residual))
        variances = variances.clamp_min(1e-6 * float(variances[-1]))
        rest = variances[:-COMPONENTS].mean() if len(variances) > COMPONENTS else variances[0]
        kept = torch.cat([variances[-COMPONENTS:], rest.reshape(1)])
        return cls(means, components[:, -COMPONENTS:].contiguous(), kept)

    def score(self, features: Tensor) -> Tensor:
        """From features (n, d) to scores (n,)."""
        distances = []
        for mean in self.means:
            centred = features - mean
            along = (centred @ self.components).square() / self.variances[:-1]
            rest = _residual(centred, self.components).square() / self.variances[-1]
            distances.append(along.sum(dim=1) + rest)
        return -torch.stack(distances).amin(dim=0)


@dataclass(frozen=True)
class Neighbours:
    """Distance to the k-th nearest training image on the unit sphere (Sun et al. 2022, arXiv:2204.06507)."""

    centre: Tensor
    components: Tensor
    bank: Tensor

    @classmethod
    def fit(cls, training: TrainingFeatures) -> "Neighbours":
        """Keep an evenly spread part of the training images."""
        centre, components = _principal_components(training.features)
        rows = torch.linspace(0, len(training.features) - 1, min(BANK_SIZE, len(training.features))).long()
        bank = normalize((training.features[rows] - centre) @ components)
        return cls(centre, components, bank)

    def score(self, features: Tensor) -> Tensor:
        """From features (n, d) to scores (n,)."""
        distances = torch.cdist(normalize((features - self.centre) @ self.components), self.bank)
        return -distances.kthvalue(min(NEIGHBOURS, len(self.bank)), dim=1).values


@dataclass(frozen=True)
class ViM:
    """Energy against the part of the features that training images do not use (Wang et al. 2022, arXiv:2203.10807)."""

    weight: Tensor
    bias: Tensor
    centre: Tensor
    components: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, training: TrainingFeatures) -> "ViM":
        """Find the main directions, and the scale that makes the rest comparable to logits."""
        # The origin at which all logits are as small as the bias allows.
        centre = -torch.linalg.pinv(training.weight) @ training.bias
        _, components = _principal_components(training.features, centre)
        residual = _residual(training.features - centre, components)
        logits = training.features @ training.weight.T + training.bias
        scale = logits.amax(dim=1).mean() / residual.mean().clamp_min(1e-12)
        return cls(training.weight, training.bias, centre, components, scale.reshape(1))

    def score(self, features: Tensor) -> Tensor:
        """From features (n, d) to scores (n,)."""
        energy = (features @ self.weight.T + self.bias).logsumexp(dim=1)
        return energy - self.scale * _residual(features - self.centre, self.components)


# The simplest first.
DETECTORS: dict[str, type[Detector]] = {
    "maximum_logit": MaximumLogit,
    "energy": Energy,
    "mahalanobis": Mahalanobis,
    "neighbours": Neighbours,
    "vim": ViM,
}


def detector_name(method: str, stage: int | None) -> str:
    """Name a detector and the stage of the network that it looks at; none for the features of the classifier."""
    return method if stage is None else f"{method}, stage {stage + 1}"


def _principal_components(features: Tensor, centre: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The centre (d,) and the main directions (d, k) of features (n, d)."""
    centre = features.mean(dim=0) if centre is None else centre
    centred = features - centre
    _, axes = torch.linalg.eigh(centred.T @ centred)
    return centre, axes[:, -COMPONENTS:].contiguous()


def _residual(centred: Tensor, components: Tensor) -> Tensor:
    """Length of what the components leave of centred features."""
    return (centred - centred @ components @ components.T).norm(dim=1)
