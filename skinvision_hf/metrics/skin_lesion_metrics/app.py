"""The page of the metric Space: paste probabilities and true classes, get every metric."""

import json
from pathlib import Path
from typing import Any

import evaluate
import gradio as gr

from skinvision_hf.errors import DataError
from skinvision_hf.labels import CODES, DISCLAIMER

# By the file and not by its folder, which has another name on a Space.
METRICS = evaluate.load(str(Path(__file__).resolve().with_name("skin_lesion_metrics.py")))
DESCRIPTION = f"""\
**{DISCLAIMER}**

All metrics of the seven-way classification of skin lesions, computed by the code of `skinvision_hf`. Give one row of
seven probabilities for each image, in the order {", ".join(CODES)}, and the position of its true class in that order,
from 0. A number that is not defined, such as the AUC of a class without images, is null.
"""
# Rows of made-up probabilities for a mole, a melanoma and a melanoma that is taken for a mole.
EXAMPLE = (
    "[[0.02, 0.03, 0.05, 0.01, 0.09, 0.79, 0.01],\n"
    " [0.04, 0.02, 0.06, 0.01, 0.66, 0.20, 0.01],\n"
    " [0.01, 0.02, 0.08, 0.02, 0.31, 0.55, 0.01]]"
)


def compute(predictions: str, references: str) -> dict[str, float | None]:
    """Compute the metrics of what was pasted.

    Args:
        predictions: JSON: a list of rows of seven probabilities.
        references: JSON: a list of as many positions.
    """
    rows, labels = _read(predictions, "probabilities"), _read(references, "true classes")
    if len(rows) != len(labels):
        raise gr.Error(f"there are {len(rows)} rows of probabilities, but {len(labels)} true classes")
    if not all(type(label) is int and 0 <= label < len(CODES) for label in labels):
        raise gr.Error(f"each true class must be a whole number from 0 to {len(CODES) - 1}")
    if not all(isinstance(row, list) and len(row) == len(CODES) and all(map(_is_share, row)) for row in rows):
        raise gr.Error(f"each row must be {len(CODES)} probabilities from 0 to 1")
    try:
        return METRICS.compute(predictions=rows, references=labels)
    except DataError as error:
        raise gr.Error(str(error)) from error


def _read(text: str, what: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise gr.Error(f"the {what} are no JSON: {error}") from error
    if not isinstance(value, list) or not value:
        raise gr.Error(f"the {what} must be a list with at least one entry")
    return value


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


demo = gr.Interface(
    compute,
    inputs=[
        gr.Textbox(EXAMPLE, label="Probabilities (JSON)", lines=8),
        gr.Textbox("[5, 4, 4]", label="True classes (JSON)", lines=2),
    ],
    outputs=gr.JSON(label="Metrics"),
    title="Skin lesion metrics",
    description=DESCRIPTION,
    flagging_mode="never",
)

if __name__ == "__main__":
    demo.launch()
