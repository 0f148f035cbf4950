"""The keys that the document's worked examples are made under: printed in it, and used nowhere else.

A site's own keys are never read for a document.
"""

from typing import TYPE_CHECKING

from qianzhi.wire.mac import KEY_BYTES

if TYPE_CHECKING:
    from frontends.profile import Profile

MATERIAL = bytes.fromhex("5B8F1C2D3E4A69708192A3B4C5D6E7F80F1E2D3C4B5A69788796A5B4C3D2E1F0")
MASTER = bytes.fromhex("1123456789ABCDEF0FEDCBA987654321")
USUAL_BYTES = 16


def printed_keys(profile: "Profile") -> dict[str, bytes]:
    """Return the keys by the names that `frontends.profile.resolve_keys` gives them."""
    keys = {}
    if profile.keys.master:
        keys["master"] = MASTER
    if profile.session.keys == "static":
        keys["mac"] = MATERIAL[: mac_key_bytes(profile)]
    return keys


def mac_key_bytes(profile: "Profile") -> int:
    """Return how long the examples' MAC key is: 16 bytes where the algorithm takes them, else what it
    takes.
    """
    allowed = KEY_BYTES[profile.mac.algorithm] if profile.mac else {USUAL_BYTES}
    return USUAL_BYTES if USUAL_BYTES in allowed else max(size for size in allowed if size <= len(MATERIAL))
