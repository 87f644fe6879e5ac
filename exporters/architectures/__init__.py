"""Model families: one module a `model_type`, one line in registry.py."""
