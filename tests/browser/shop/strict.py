"""The content security policy of the shop."""

from __future__ import annotations


def strict(get_response):
    """Has browsers load nothing but what this site serves, and run nothing that stands in a page."""

    def answer(request):
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'self'"
        return response

    return answer
