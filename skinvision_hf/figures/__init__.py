"""Every figure, drawn from reports and arrays; the only package that imports matplotlib.

`release_plots` draws all figures of a release; figures that show images of the data set stay with the user.
"""
