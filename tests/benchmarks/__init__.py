"""What cache_core costs, side by side with other caching packages; see README.md in this folder."""
