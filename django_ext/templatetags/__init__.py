"""Template tags; ``{% load cache_core %}``."""
