"""The network and what a release of it is.

`modeling` is the network, `creation` makes a new one, and `release` finds release folders here and on the Hub.
An answer is a `prediction`, with the threshold of its verdict and its conformal set.
"""
