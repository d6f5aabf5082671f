"""Models of every shape that a row can be written through."""

# ruff: noqa: DJ008  # nobody looks at them in an admin

from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from django_ext import TrackedQuerySet, track


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


class Shelf(models.Model):
    label = models.CharField(max_length=100)


class Volume(models.Model):
    """Outlives its shelf, and stands in an order on it."""

    shelf = models.ForeignKey(Shelf, models.SET_NULL, null=True, related_name="volumes")
    title = models.CharField(max_length=100)

    class Meta:
        order_with_respect_to = "shelf"


class Club(models.Model):
    name = models.CharField(max_length=100)
    members = models.ManyToManyField(Author, through="Membership")
    notes = GenericRelation("library.Note")


class Membership(models.Model):
    """A relation that has a model of its own."""

    club = models.ForeignKey(Club, models.CASCADE)
    author = models.ForeignKey(Author, models.CASCADE)
    since = models.IntegerField(default=0)


class Note(models.Model):
    """Is attached to anything."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.IntegerField()
    about = GenericForeignKey("content_type", "object_id")


class Draft(models.Model):
    """Is written by machines all day, which nobody's cache cares for."""

    text = models.CharField(max_length=100)


@track(key_type="parcel_id", bulk="select")
@track(key_type="town", id="town", bulk="select")
class Parcel(models.Model):
    """Has a manager that looks up what bulk writes are about."""

    town = models.CharField(max_length=100)
    weight = models.IntegerField(default=0)

    objects = TrackedQuerySet.as_manager()


class Loaf(models.Model):
    name = models.CharField(max_length=100)


class Slice(models.Model):
    """Is deleted by the database itself, where Django knows how to ask for that."""

    loaf = models.ForeignKey(Loaf, getattr(models, "DB_CASCADE", models.CASCADE))
