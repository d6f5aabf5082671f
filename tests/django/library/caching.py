"""Found and imported by the adapter when Django starts."""

from __future__ import annotations

from django_ext import cache, track
from tests.django.library.models import (
    Author,
    Book,
    Club,
    Diary,
    Draft,
    Loan,
    Membership,
    Note,
    Place,
    Shop,
    Slice,
    Stall,
    Volume,
)

track(Author, key_type="author_id")
track("library.Book", key_type="book_id")
track(Book, key_type="author_id", id="author")
track(Place, key_type="place_id")
track(Shop, key_type="shop_id")
track(Shop, key_type="city", id="city")
track(Stall, key_type="stall_id")
track(Loan, key_type="reader_id", id="reader")
track(Loan, key_type="branch_id", id=lambda loan: loan.branch and [loan.branch, f"due{loan.due}"])
track(Volume, key_type="volume_id")
track(Volume, key_type="shelf_id", id="shelf")
track(Club, key_type="club_id")
track(Membership, key_type="members_of", id="club")
track(Note, key_type="notes_of", id=lambda note: f"{note.content_type.model}-{note.object_id}")
track(Slice, key_type="slice_id")
track(Draft, key_type="draft_id", bulk="ignore")
track(Diary, key_type="author_id", id=lambda diary: diary.nothing)


@cache.cached(key_type="author_id", id_arg="author_id", use_case="GetAuthor", ttl=300)
def get_author(author_id):
    """The author's name, or None."""
    return Author.objects.filter(pk=author_id).values_list("name", flat=True).first()
