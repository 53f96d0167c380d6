"""Files that never change under their names, in the encodings in which the build has written them."""

import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# The encodings that the build writes, with the ends of their files; the smallest is the first.
ENCODINGS = {"br": ".br", "gzip": ".gz"}
IMMUTABLE = "public, max-age=31536000, immutable"
# A name that ends with a hash of the content. Other names are not looked up: the system refuses some of them.
_HASHED = re.compile(r"[A-Za-z0-9._-]{1,100}-[0-9A-Z]{8}\.[a-z]{1,10}")
_WEIGHT = re.compile(r"q=([01](?:\.\d{0,3})?)", re.IGNORECASE)


class BuiltFiles(StaticFiles):
    """The files of a folder that a build wrote, with hashes in their names; `named` are the others."""

    def __init__(self, directory: Path, *named: str) -> None:
        super().__init__(directory=directory, check_dir=False)
        self.named = named

    async def check_config(self) -> None:
        """Accept a folder that is not built yet, which Starlette would answer with a 500."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file in the encoding that the client likes best."""
        is_hashed = _HASHED.fullmatch(path) is not None
        if not is_hashed and path not in self.named:
            raise HTTPException(404)
        encoding = preferred_encoding(Headers(scope=scope).get("accept-encoding", ""))
        is_encoded = encoding != "" and self.lookup_path(path + ENCODINGS[encoding])[1] is not None
        response = await super().get_response(path + ENCODINGS[encoding] if is_encoded else path, scope)
        if is_encoded:
            if response.status_code == 200:  # noqa: PLR2004  a 304 has no content
                response.headers["content-type"] = _media_type(path)
            response.headers["content-encoding"] = encoding
        response.headers["vary"] = "Accept-Encoding"
        response.headers["cache-control"] = IMMUTABLE if is_hashed else "no-cache"
        return response


def preferred_encoding(header: str) -> str:
    """Return the encoding of ENCODINGS that `Accept-Encoding` likes best; empty if it names none of them."""
    weights = {}
    for entry in header.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        found = next((match[1] for part in parameters if (match := _WEIGHT.fullmatch(part))), "1")
        weights[name] = float(found)
    offered = {name: weights.get(name, weights.get("*", 0.0)) for name in ENCODINGS}
    best = max(offered, key=lambda name: offered[name])
    return best if offered[best] > 0 and offered[best] >= weights.get("identity", 0.0) else ""


# mimetypes reads the tables of the machine, which differ.
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".ttf": "font/ttf"}


def _media_type(path: str) -> str:
    kind = _MEDIA_TYPES.get(Path(path).suffix, "text/plain")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
