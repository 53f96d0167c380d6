"""Pages for browsers, without anything that runs: a HAL document with working links, a problem, or a text."""

import base64
import hashlib
import html
import re
import shlex
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from release_catalog.domain import hal_urls

SITE = "Release catalog"
EDITOR, OPENAPI = "/graphql", "/openapi.json"
# Comments and indentation are for people who change the style.
_STYLE = re.sub(
    r"/\*.*?\*/|\s+(?=[\s}])|(?<=[{;,])\s+",
    "",
    (Path(__file__).parent.parent / "web" / "page.css").read_text(encoding="utf-8"),
    flags=re.DOTALL,
)
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Only the page's own style is applied: text of a document that looks like markup can do nothing, even unescaped.
# The empty icon is a data URL; without it, browsers ask for /favicon.ico.
CSP = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The name of a document, by the part of its path before its id, and by its whole path.
_KINDS = {
    "catalogs": "Catalog",
    "releases": "Release",
    "applications": "Product",
    "pipelines": "Pipeline",
    "base-images": "Base image",
    "registries": "Registry",
}
_LISTS = {"catalogs": "Catalogs", "releases": "Releases", "applications": "Products"}
_RECORD = re.compile(r"/lifecycle/api/v2/promotion/records/([^/]+)/([^/]+)/[^/]+")
_BRANCH = re.compile(r"/v1/applications/product/[^/]+/branch/([^/]+)")


def page(document: Mapping[str, Any], path: str) -> bytes:
    """Return the page of the document at `path`, which is quoted."""
    fields = {name: value for name, value in document.items() if name != "_links"}
    title = _title(document, path)
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if fields:
        parts.append(_object(fields))
    if links := document.get("_links"):
        parts += ["<h2>Links</h2>", _links(links)]
    return text_page(title, "".join(parts), _crumbs(path, title))


def problem_page(problem: Mapping[str, Any], url: str) -> bytes:
    """Return the page of a problem (RFC 9457) that a request for `url` met."""
    title = f"{problem['status']} {problem['title']}"
    shown = {name: value for name, value in problem.items() if name not in _SAID}
    parts = [f"<h1>{html.escape(title)}</h1><p>{html.escape(problem['detail'])}</p>"]
    if problem["status"] == _UNAUTHORIZED:
        # The address may hold anything, also a command.
        command = f"curl -H 'Authorization: Bearer TOKEN' {shlex.quote(url)}"
        parts.append(
            f"<h2>Send a token</h2><p>A browser can't add a token to a link. Use a terminal:</p>"
            f"<pre>{html.escape(command)}</pre>"
            f"<p>Or open {_anchor(EDITOR, 'the query editor')}: it asks for a token, and has the same data. "
            "An administrator of the catalog makes tokens.</p>"
        )
    elif problem.get("code") == "CSRF":
        link = _link({"href": problem["instance"], "title": "Open this address from here"})
        parts.append(f"<p>If you followed a link that you trust: {link}.</p>")
    if shown:
        parts += ["<h2>Details</h2>", _object(shown)]
    return text_page(title, "".join(parts))


_UNAUTHORIZED = 401
# The members of a problem that its page has elsewhere, or that tell people nothing.
_SAID = {"type", "title", "status", "detail"}


def text_page(title: str, body: str, crumbs: Iterable[tuple[str | None, str]] = ()) -> bytes:
    """Return a page of the site with the HTML `body`; `crumbs` are the addresses and names of the pages above."""
    trail = "".join(
        f"<li>{_anchor(href, name)}</li>" if href else f'<li aria-current="page">{html.escape(name)}</li>'
        for href, name in crumbs
    )
    above = f'<nav aria-label="Breadcrumbs"><ol>{trail}</ol></nav>' if trail else ""
    whole = title if title == SITE else f"{title} · {SITE}"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(whole)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body class="page">'
        f'<a class="skip" href="#content">Skip to the content</a>{HEADER}{above}'
        f'<main id="content">{body}</main></body></html>\n'
    ).encode()


def _title(document: Mapping[str, Any], path: str) -> str:
    """Return the heading of a document."""
    if record := _RECORD.fullmatch(path):
        return f"Promotion of {urllib.parse.unquote(record[1])} {urllib.parse.unquote(record[2])}"
    *_, kind, last = ["", *path.strip("/").split("/")]
    if path == hal_urls.ENTRY_POINT:
        return SITE
    if last in _LISTS and "id" not in document:
        return _LISTS[last]
    name = document.get("name")
    if branch := _BRANCH.fullmatch(path):
        return f"{name}, branch {urllib.parse.unquote(branch[1])}"
    product = document.get("product")
    if kind == "releases" and isinstance(product, dict):
        name = f"{product.get('name')} {document.get('version')}"
    return f"{_KINDS.get(kind, 'Document')} {name or document.get('version') or urllib.parse.unquote(last)}"


def _crumbs(path: str, title: str) -> list[tuple[str | None, str]]:
    """Return the pages above the one at `path`, and that one without an address."""
    found: list[tuple[str | None, str]] = []
    if path != hal_urls.ENTRY_POINT:
        found.append((hal_urls.ENTRY_POINT, "Start"))
    parts = path.removeprefix(hal_urls.CATALOGS).split("/") if path.startswith(hal_urls.CATALOGS) else []
    if len(parts) > 1:
        found.append((hal_urls.CATALOGS, _LISTS["catalogs"]))
    if len(parts) > 2:  # noqa: PLR2004  /CATALOG and something below
        found.append((f"{hal_urls.CATALOGS}/{parts[1]}", f"Catalog {urllib.parse.unquote(parts[1])}"))
    if len(parts) > 3 and parts[2] in _LISTS:  # noqa: PLR2004  /CATALOG/releases and something below
        found.append((f"{hal_urls.CATALOGS}/{parts[1]}/{parts[2]}", _LISTS[parts[2]]))
    return [*found, (None, title)]


def _object(document: Mapping[str, Any]) -> str:
    entries = (
        f"<dt>{html.escape(name)}</dt><dd>{_links(value) if name == '_links' else _value(value)}</dd>"
        for name, value in document.items()
    )
    return f"<dl>{''.join(entries)}</dl>" if document else ""


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list):
        return _list(map(_value, value))
    if isinstance(value, str):
        return _anchor(value, value) if _is_web_url(value) else html.escape(value)
    return orjson.dumps(value).decode()


def _list(entries: Iterable[str]) -> str:
    items = "".join(f"<li>{entry}</li>" for entry in entries)
    return f"<ul>{items}</ul>" if items else "none"


def _links(links: Mapping[str, Any]) -> str:
    entries = (
        f"<dt>{html.escape(name)}</dt>"
        f"<dd>{_list(map(_link, target)) if isinstance(target, list) else _link(target)}</dd>"
        for name, target in links.items()
    )
    return f"<dl>{''.join(entries)}</dl>"


def _link(link: Mapping[str, Any]) -> str:
    text = link.get("title") or link["href"]
    # A browser takes /\ for //, which leads to another host.
    is_own = link["href"].startswith("/") and link["href"][1:2] not in {"/", "\\"}
    if link.get("templated") or not is_own:
        return f"<code>{html.escape(link['href'])}</code>"
    return _anchor(link["href"], text)


def _anchor(href: str, text: str) -> str:
    return f'<a href="{html.escape(href)}" rel="noopener noreferrer">{html.escape(text)}</a>'


def _is_web_url(text: str) -> bool:
    """Return whether a text is a whole URL of the web, and nothing else such as javascript:."""
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


# The head of every page, that of the query editor too.
HEADER = (
    f'<header class="site">{_anchor(hal_urls.ENTRY_POINT, SITE)}<nav aria-label="Site">'
    f"{_anchor(hal_urls.ENTRY_POINT, 'Documents')}{_anchor(EDITOR, 'Query editor')}{_anchor(OPENAPI, 'OpenAPI')}"
    "</nav></header>"
)
