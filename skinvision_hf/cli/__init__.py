"""The `skinvision` command. Nothing here imports a library before the arguments are checked."""
