"""Measured sections as tables: what a reader needs to judge a number stands beside it."""

import json
import re

from random_predictions import draw_predictions

from skinvision_hf.card.sections import read_sections
from skinvision_hf.evaluation.conformal import ConformalPredictor
from skinvision_hf.evaluation.coverage import measure_conformal
from skinvision_hf.evaluation.reliability import measure_calibration
from skinvision_hf.evaluation.subgroups import measure_subgroups


def test_what_chance_alone_would_show_stands_beside_what_was_measured() -> None:
    predictions = draw_predictions(700)
    labels = {"sex": [("female", "male")[n % 2] for n in range(700)]}
    sections = read_sections(
        {
            "calibration": json.loads(json.dumps(measure_calibration(predictions, temperature=1.5).to_dict())),
            "subgroups": measure_subgroups(predictions, labels).to_dict(),
            "conformal": measure_conformal(ConformalPredictor.fit(predictions), predictions).to_dict(),
        }
    )
    errors, gaps = sections["calibration"].tables[0], sections["subgroups"].tables[-1]
    stated = re.fullmatch(r"(0\.\d{3}) \((0\.\d{3})\)", errors.rows[0][-1])
    assert stated
    mean, high = map(float, stated.groups())
    assert 0 < mean < high
    references = {row[0]: row[-1] for row in errors.rows}
    assert references["Brier score"] == "", "it has no such reference"
    assert gaps.rows and all(0 < float(row[-1]) <= 1 for row in gaps.rows)
    lists = sections["conformal"].tables[0]
    column = lists.header.index("each lesion counted once")
    assert all(row[column].endswith("%)") for row in lists.rows)


def test_a_gap_that_is_hardly_chance_has_a_p_value_above_zero() -> None:
    predictions = draw_predictions(700)
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    report = measure_subgroups(predictions, {"answer": ["right" if one else "wrong" for one in right]})
    gaps = read_sections({"subgroups": report.to_dict()})["subgroups"].tables[-1]
    assert 0 < float(gaps.rows[0][-1]) < 0.001
