"""The `skinvision` command."""
