"""An atlas of the world's cities."""
