"""The names of other caches, so that a program can move here by changing its imports first."""
