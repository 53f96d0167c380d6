"""A HAL document as a page for browsers: the same data, with working links, and nothing that runs."""

import base64
import hashlib
import html
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "body{color:#1b1b1b;background:#fff}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}dt{color:#595959}"
    "dd{margin:0;overflow-wrap:anywhere}ul{margin:0;padding-left:1.2rem}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1b}dt{color:#aaa}a{color:#8ab4f8}}"
)
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Only the page's own style is applied: text of a document that looks like markup can do nothing, even unescaped.
CSP = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(document: Mapping[str, Any], path: str) -> bytes:
    """Return the page of the document at `path`."""
    title = html.escape(path)
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style><h1>{title}</h1>{_object(document)}</html>\n"
    ).encode()


def _object(document: Mapping[str, Any]) -> str:
    entries = (
        f"<dt>{html.escape(name)}</dt><dd>{_links(value) if name == '_links' else _value(value)}</dd>"
        for name, value in document.items()
    )
    return f"<dl>{''.join(entries)}</dl>"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list):
        return _list(map(_value, value))
    if isinstance(value, str):
        return _anchor(value, value) if _is_web_url(value) else html.escape(value)
    return orjson.dumps(value).decode()


def _list(entries: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{entry}</li>' for entry in entries)}</ul>"


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
