"""What a page says about an answer: sentences with places for names and numbers.

The Gradio page fills them in Python; the static Space gets them as data and fills them in the browser.
"""

PHRASES = {
    "error": "That did not work.",
    "unlike_title": "Not a dermatoscopic image?",
    "unlike": "This image does not look like the dermatoscopic images that the model was trained on, so its answer is "
    "not reliable. The model needs a close-up of one lesion, taken through a dermatoscope.",
    "unusual_title": "Unusual image.",
    "unusual": "This image is unusual among the dermatoscopic images that the model was trained on. Its answer is less "
    "reliable than usual.",
    "no_ood_title": "No OOD detection.",
    "no_ood": "This release cannot detect images of other things: it would give a diagnosis for a cat, too. Use the "
    "answer only for a close-up of one lesion, taken through a dermatoscope.",
    "suspicious": "Suspicious",
    "clear": "Not suspicious",
    "threshold": "The malignant diagnoses together have a probability of {malignant}; the threshold is {threshold}.",
    "finds": "This threshold finds {sensitivity} of malignant test images, and marks {false_alarms} of benign ones.",
    "misses": "This threshold misses {missed} of malignant test images, so the answer does not rule out skin cancer.",
    "still_benign": "The threshold is low, to miss few, so the most probable diagnosis of a suspicious image can be "
    "benign.",
    "malignant": "Malignant here: melanoma, basal cell carcinoma, and actinic keratosis / Bowen's disease, which may "
    "be pre-malignant.",
    "no_verdict": "This release has no measured threshold, so it gives no verdict.",
    "most_probable": "Most probable diagnosis",
    "second": "The second most probable diagnosis is {name}, with {probability}.",
    "no_second": "All other diagnoses are below 1%.",
    "details": "Details",
    "one_folded": "1 diagnosis below 1%",
    "folded": "{number} diagnoses below 1%",
    "set": "{coverage} conformal prediction set: {names}. Sets of this kind contain the correct diagnosis for at least "
    "{coverage} of images.",
    "score": "In-distribution score: {score}, on a scale from 0 (less like the training images than all validation "
    "images) to 1 (more like them than all validation images). Below {refused}, an image is refused.",
    "photo": "Your image",
    "heat": "Heat map of what supports {name}",
    "little": "little",
    "much": "much",
    "supports": "Coloured areas support {name}, yellow areas most.",
    "border": "The hottest point is at the border of the image, so the model may not be looking at the lesion.",
    "cells": "The map is interpolated from {rows} x {columns} cells. It explains the model, not the skin.",
    "nothing": "For the model, nothing in this image supports {name}.",
    "target": "Heat map for",
    "opacity": "Opacity of the heat map",
    "anyway": "Show the model's answer anyway",
    "save": "Save answer",
    "with_photo": "with image and heat map",
    "balanced_accuracy": "Balanced accuracy",
    "found": "Malignant images marked suspicious",
    "cleared": "Benign images not marked",
    "interval": "95% CI {low} to {high}",
}

FOLDED = 0.01
"""Diagnoses below this probability are folded away."""

OPACITY = 0.6
"""Opacity of the heat map at first."""


def say(phrase: str, **values: object) -> str:
    """Fill one of `PHRASES`."""
    return PHRASES[phrase].format(**values)
