"""What `skinvision train`, `evaluate`, `explain-model` and `adapt` do: networks to numbers, figures and pages."""
