"""An app for tests: authors, books and the relations between models that invalidation must follow."""
