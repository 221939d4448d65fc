"""Where a network looks: heat maps, and measures of how far they can be trusted.

`explanation` explains one image, `cam` computes heat maps and `placement` lays them over the image;
`explanation_evaluation` measures them against lesion masks, baselines and random networks.
"""
