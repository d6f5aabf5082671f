"""The Django project around the atlas."""
