"""Publishing on the Hugging Face Hub: a release, its data set, its Space. The only room that writes to the Hub."""

from skinvision_hf.card import Links
from skinvision_hf.hub.everything import publish_all
from skinvision_hf.hub.plans import Change, Plan
from skinvision_hf.hub.publishing import publish_dataset, publish_release, publish_space
from skinvision_hf.hub.sending import Published

__all__ = ["Change", "Links", "Plan", "Published", "publish_all", "publish_dataset", "publish_release", "publish_space"]
