"""The page of the metric Space."""

import evaluate
from evaluate.utils import launch_gradio_widget

launch_gradio_widget(evaluate.load("skin_lesion_metrics"))
