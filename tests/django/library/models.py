"""Models of every shape that a row can be written through."""

# ruff: noqa: DJ008  # nobody looks at them in an admin

from __future__ import annotations

import uuid

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class Tag(models.Model):
    word = models.CharField(max_length=100)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag, related_name="books")


class Novel(Book):
    """Shares the table of books."""

    class Meta:
        proxy = True


class Place(models.Model):
    city = models.CharField(max_length=100)


class Shop(Place):
    """A multi-table child: each shop has a row among the places."""

    name = models.CharField(max_length=100)


class Bookshop(Shop):
    """A grandchild."""

    shelves = models.IntegerField(default=1)


class Vendor(models.Model):
    licence = models.CharField(max_length=20, primary_key=True)
    fee = models.IntegerField(default=0)


class Ground(models.Model):
    plot = models.BigAutoField(primary_key=True)


class Stall(Ground, Vendor):
    """Has two parents, so its key is that of one of them only."""


class Loan(models.Model):
    """Is part of two entities, of which neither is its own key."""

    reader = models.UUIDField(default=uuid.uuid4)
    due = models.IntegerField(default=0)
    branch = models.IntegerField(null=True)


class Diary(models.Model):
    """Is tracked by a callable that does not work."""

    text = models.CharField(max_length=100)


class Untracked(models.Model):
    text = models.CharField(max_length=100)


class Abstract(models.Model):
    text = models.CharField(max_length=100)

    class Meta:
        abstract = True


class Foreign(models.Model):
    """A table that other programs write."""

    class Meta:
        managed = False
