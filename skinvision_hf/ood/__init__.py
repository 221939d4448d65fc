"""Out-of-distribution (OOD) detection, and how stable answers are when images are made in other ways.

`detector` is what a release carries; `fitting` fits it, `ood_evaluation` measures it, `ood_report` holds the results.
"""
