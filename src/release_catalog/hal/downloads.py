"""Downloads of files: redirects to their URLs, which are counted."""

import dataclasses
import string
import urllib.parse
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from release_catalog.domain.validation import is_web_url
from release_catalog.hal import responses
from release_catalog.query_engine.context import Context
from release_catalog.storage.download_counts import DownloadCounter

# Characters that a URL keeps in a header.
_SAFE = string.ascii_letters + string.digits + string.punctuation


@dataclasses.dataclass(frozen=True)
class Download:
    """A file of a release that the caller may see."""

    release_id: str
    artifact_id: str
    url: str
    secured: bool


class Redirector:
    """Redirects callers to the URLs of files, and counts them."""

    def __init__(
        self,
        counter: Callable[[Request], DownloadCounter],
        check_credentials: Callable[[Request], Awaitable[Response | None]],
    ) -> None:
        """Use the counter of a request's application.

        `check_credentials` returns the refusal of a request without valid credentials.
        """
        self.counter = counter
        self.check_credentials = check_credentials

    async def answer(self, request: Request, context: Context, file: Download) -> Response:
        """Return the redirect, or the refusal of a request without credentials for a secured file."""
        if not is_web_url(file.url):
            detail = "The file can't be downloaded from here: its downloadUrl is no complete http or https URL."
            return responses.problem(request, 404, detail)
        if file.secured and (refusal := await self.check_credentials(request)):
            return refusal
        if request.method == "GET":
            await self.counter(request).add(context.caller, file.release_id, file.artifact_id)
        location = urllib.parse.quote(file.url, safe=_SAFE)
        return Response(status_code=302, headers={"location": location, "cache-control": "private, no-store"})
