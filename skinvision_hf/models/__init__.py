"""The network and what a release of it is: pretrained weights, the release folder, `SkinVision` and `Prediction`."""
