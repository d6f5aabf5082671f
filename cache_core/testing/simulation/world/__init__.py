"""The world of this cache: a database row, a store, and processes with a cache each."""
