"""Publishing on the Hugging Face Hub: a release, its data set, its Space. The only package that writes to the Hub."""

from skinvision_hf.card import Links
from skinvision_hf.hub.publishing import publish_all, publish_dataset, publish_model, publish_space
from skinvision_hf.hub.sending import Published, PublishOptions

__all__ = [
    "Links",
    "PublishOptions",
    "Published",
    "publish_all",
    "publish_dataset",
    "publish_model",
    "publish_space",
]
