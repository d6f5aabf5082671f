"""What bytes look like: entries, codecs, signatures and compression."""

from __future__ import annotations

from cache_core.wire.codecs import Codec, CodecChoice, SignedPickle, choose_codec
from cache_core.wire.compression import Compressor, Zlib
from cache_core.wire.encryption import Cipher
from cache_core.wire.entry import DEFAULT_MAX_BYTES, Envelope, Wire, digest_of, filled_by
from cache_core.wire.signing import Signer
from cache_core.wire.tagged_json import TaggedJson
from cache_core.wire.typed_msgpack import Msgspec, codec_for_annotation

__all__ = [
    "DEFAULT_MAX_BYTES",
    "Cipher",
    "Codec",
    "CodecChoice",
    "Compressor",
    "Envelope",
    "Msgspec",
    "SignedPickle",
    "Signer",
    "TaggedJson",
    "Wire",
    "Zlib",
    "choose_codec",
    "codec_for_annotation",
    "digest_of",
    "filled_by",
]
