"""An API with a cached read, and the pages of the packages."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from django_ext import cache
from tests.django.library.models import Author


class AuthorSerializer(ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")


@cache.cached(key_type="author_id", id_arg="author_id", use_case="AuthorOfApi", ttl=300)
def author_data(author_id):
    """Plain data: what a serializer gives keeps a reference to the serializer and its object."""
    return dict(AuthorSerializer(Author.objects.get(pk=author_id)).data)


class Authors(ModelViewSet):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer

    def retrieve(self, request, pk):
        return Response(author_data(int(pk)))


router = DefaultRouter()
router.register("authors", Authors)
urlpatterns = [
    path("api/", include(router.urls)),
    path("silk/", include("silk.urls", namespace="silk")),
    path("", include("django_prometheus.urls")),
]
