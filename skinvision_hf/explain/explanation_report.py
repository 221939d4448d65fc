"""What is known about the heat maps of a network: the section `explanations` of metrics.json."""

from dataclasses import dataclass

from skinvision_hf.records import Estimate, Record, markdown_table

TRAINED, NO_NETWORK = "trained", "none"
RANDOMISATIONS = ("classifier", "all")
"""What is random in the networks of the randomisation check."""

CENTRE, NOISE = "centre", "noise"
"""The baselines, which look at no image."""


@dataclass(frozen=True)
class MapScores(Record):
    """How good one kind of heat map is.

    The pointing game is that of Zhang et al. 2018 (doi:10.1007/s11263-017-1059-x), the energy inside the lesion that of
    Wang et al. 2020 (doi:10.1109/CVPRW50498.2020.00020).
    """

    map: str
    network: str
    pointing_game: Estimate
    energy_inside: Estimate
    corner: Estimate | None = None
    road: Estimate | None = None
    rank_correlation: Estimate | None = None
    over_centre: dict[str, Estimate] | None = None
    per_class: dict[str, dict[str, Estimate]] | None = None
    by_outcome: dict[str, dict[str, Estimate]] | None = None


@dataclass(frozen=True)
class ExplanationReport(Record):
    """How good heat maps of the predicted diagnosis are, on images whose lesion mask has an inside and an outside.

    A map without contrast has the share `lesion_area` of its energy inside, and a random pixel wins the pointing game
    in the same share of images.
    """

    split_scheme: str
    split: str
    images: int
    lesions: int
    lesion_area: Estimate
    maps: tuple[MapScores, ...]

    def find(self, name: str, network: str = TRAINED) -> MapScores:
        """Return the scores of a method or a baseline, by the network that is explained."""
        return next(entry for entry in self.maps if (entry.map, entry.network) == (name, network))

    def __str__(self) -> str:
        """A Markdown table of all maps."""
        columns = ("pointing_game", "energy_inside", "corner", "road", "rank_correlation")
        titles = ("map", "weights", "pointing game", "energy inside", "hottest in a corner", "ROAD", "rank correlation")
        rows: list[tuple[object, ...]] = []
        for entry in self.maps:
            weights = f"random: {entry.network}" if entry.network in RANDOMISATIONS else entry.network
            rows.append((entry.map, weights, *(getattr(entry, name) or "" for name in columns)))
        counted = f"{self.split_scheme}, {self.split}: {self.images} images of {self.lesions} lesions"
        return "\n".join([f"{counted}; 95 % confidence intervals over lesions", "", *markdown_table(titles, *rows)])
