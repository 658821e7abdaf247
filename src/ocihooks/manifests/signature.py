"""
Signatures of manifests: Ed25519 over the bytes of the file, as a line of Base64 in a file beside it.

Keys are PEM files, as openssl writes them too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from ocihooks.errors import DocumentError, UnavailableError

ENDING = ".sig"
"""What a signature's file has behind the name of the manifest's."""


def new_key() -> bytes:
    """A new private key."""
    serialization, ed25519 = _library()
    private: bytes = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private


def public_key(private: bytes, file: str) -> bytes:
    """The public key of a private one; raises DocumentError."""
    serialization, _ = _library()
    public: bytes = (
        _private(private, file)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return public


def sign(data: bytes, private: bytes, file: str) -> bytes:
    """The signature of *data*, one line; raises DocumentError if *private*, of *file*, is no key."""
    return base64.b64encode(_private(private, file).sign(data)) + b"\n"


def is_signed(data: bytes, signature: bytes, keys: Iterable[tuple[str, bytes]]) -> bool:
    """
    Whether *signature* is that of *data* by one of the public *keys*, given as file and content.

    Raises:
        DocumentError: One of them is no key.
    """
    publics = [_public(key, file) for file, key in keys]
    try:
        raw = base64.b64decode(signature.strip(), validate=True)
    except binascii.Error:
        return False
    return any(_verifies(public, raw, data) for public in publics)


def _verifies(public: Any, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        hint = 'pip install "ocihooks[verify]" into the environment of ocihooks'
        raise UnavailableError("signatures need the package cryptography", code="import_failed", hint=hint) from None
    return serialization, ed25519


def _private(data: bytes, file: str) -> Any:
    serialization, ed25519 = _library()
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise _no_key("private", file) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key("private", file)
    return key


def _public(data: bytes, file: str) -> Any:
    serialization, ed25519 = _library()
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError as error:
        raise _no_key("public", file) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key("public", file)
    return key


def _no_key(kind: str, file: str) -> DocumentError:
    action = "key" if kind == "private" else "public"
    hint = f'make one with "ocihooks manifest {action}"'
    return DocumentError(f"expected a {kind} Ed25519 key in PEM, without password", code="no_key", file=file, hint=hint)
