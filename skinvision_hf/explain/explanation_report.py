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

    Attributes:
        map: The method, one of `skinvision_hf.config.CAM_METHODS`, or a baseline: `centre` or `noise`.
        network: The network that is explained: `trained`; one whose `classifier` or whose weights are `all` random; or
            `none` for a baseline.
        pointing_game: Share of images in which the hottest pixel lies on the lesion (Zhang et al. 2018,
            doi:10.1007/s11263-017-1059-x).
        energy_inside: Share of the heat that lies on the lesion (Wang et al. 2020, doi:10.1109/CVPRW50498.2020.00020).
        corner: Share of images in which the hottest cell of the network's own map is in a corner.
        road: Faithfulness to the network; see `skinvision_hf.explain.faithfulness.road_scores`. None where it was not
            measured.
        rank_correlation: Of maps of a random network with those of the trained one; None for all other maps.
        over_centre: How much larger `pointing_game`, `energy_inside` and `road` are than those of the centre-bias
            baseline on the same images.
        per_class: `pointing_game`, `energy_inside` and `corner` among the images of each diagnosis, by its code.
        by_outcome: The same among the images that the network classifies as `correct` and as `incorrect`.
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
    """How good heat maps of the predicted diagnosis are.

    Attributes:
        split_scheme: Name of the split scheme.
        split: The split that was measured.
        images: Images that were scored: those whose lesion mask has an inside and an outside.
        lesions: Their lesions.
        lesion_area: Share of an image that the lesion fills, which is the energy that a map without contrast has
            inside, and how often a random pixel wins the pointing game.
        maps: The scores of each kind of heat map.
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
