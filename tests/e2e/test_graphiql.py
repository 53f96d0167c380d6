"""GraphiQL in a real browser: it works, and it asks nobody but this server for anything."""

import json
import time
import urllib.parse
from collections.abc import Iterator
from typing import Literal

import jwt
import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from release_catalog.server import graphiql
from support import graphql_client
from support.browser import forget, logged, requested, see, show, write
from support.processes import Server, serving

QUERY = "{ releases(first: 3) { nodes { name version } } }"
EXAMPLES = ["Latest", "NeedsLibc6", "WrongChecksum", "Promote", "Compare", "Follow"]
DOCUMENTATION = "button[aria-label='Show Documentation Explorer']"
EXPLORER = "button[aria-label='Show GraphiQL Explorer']"
SECRET = "an issuer's secret of more than 32 bytes"
ISSUER = {"jwt_issuer": "https://issuer.example", "jwt_audience": "catalog", "jwt_secret": SECRET}

pytestmark = pytest.mark.skipif(not graphiql.TEMPLATE.is_file(), reason="GraphiQL is not built: make web")


@pytest.fixture
def browser(chromium: webdriver.Chrome, server_url: str) -> webdriver.Chrome:
    """The browser on its first visit to the page, with GraphiQL on it and nothing older in its logs."""
    show(chromium, 1440, "light")
    forget(chromium, server_url)
    return opened(chromium, server_url)


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory, mongodb_url: str) -> Iterator[Server]:
    """A server that answers callers with a token only, on an empty catalog."""
    settings = {"mongodb_url": mongodb_url, "database": "test_graphiql", **ISSUER}
    with serving(tmp_path_factory.mktemp("closed"), **settings) as server:
        yield server


def opened(browser: webdriver.Chrome, url: str, query: str = "") -> webdriver.Chrome:
    """Open the page and wait for its editor."""
    browser.get(f"{url}/graphql{query}")
    see(browser, ".graphiql-query-editor .view-line")
    return browser


def token(lifetime: int = 3_000) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER["jwt_issuer"], "aud": ISSUER["jwt_audience"], "sub": "ann", "tenant": "local"}
    scopes = "release:read release:write"
    return jwt.encode({**claims, "scope": scopes, "iat": now, "exp": now + lifetime}, SECRET, "HS256")


def execute(browser: webdriver.Chrome, text: str) -> WebElement:
    """Run what is in the editor; the response, which has to show the text.

    GraphiQL takes in what was typed a moment later. Until then it would name the operation that stood there
    before, and who saw the answer to that would press the button again.
    """

    def shown(_: object) -> WebElement | Literal[False]:
        see(browser, "button.graphiql-execute-button").click()
        try:
            return see(browser, ".graphiql-response", text, seconds=3)
        except TimeoutException:
            return False

    return WebDriverWait(browser, 30).until(shown, f"no response shows {text!r}")


def test_a_typed_query_shows_its_result(browser: webdriver.Chrome) -> None:
    write(browser, QUERY)
    see(browser, ".graphiql-query-editor", QUERY)
    response = execute(browser, '"nodes"')
    assert '"errors"' not in response.text
    assert response.text.count('"version"') == 3


def tabs(browser: webdriver.Chrome) -> list[str]:
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".graphiql-tab-button")]


def test_a_first_visitor_finds_examples_that_run_as_they_are(browser: webdriver.Chrome) -> None:
    assert tabs(browser) == EXAMPLES
    assert '"errors"' not in execute(browser, '"1.10.0"').text
    for name, text in (("Promote", '"COMPLETED"'), ("Compare", '"path"')):
        see(browser, ".graphiql-tab-button", name).click()
        assert '"errors"' not in execute(browser, text).text


def test_a_returning_visitor_finds_the_tabs_of_the_last_visit(browser: webdriver.Chrome, server_url: str) -> None:
    see(browser, "button[aria-label='Close Latest']").click()
    see(browser, ".graphiql-tab-button", "NeedsLibc6").click()
    write(browser, "query Mine { __typename }")
    see(browser, ".graphiql-tab-button", "Mine")
    # GraphiQL stores a tab a moment after it was changed.
    stored = "return localStorage['graphiql:tabState']"
    WebDriverWait(browser, 30).until(lambda _: "query Mine" in browser.execute_script(stored))
    opened(browser, server_url)
    see(browser, ".graphiql-query-editor", "query Mine")
    assert tabs(browser) == ["Mine", *EXAMPLES[2:]]


def test_a_link_opens_its_query_and_runs_nothing(browser: webdriver.Chrome, server_url: str) -> None:
    query = "mutation Kept($id: ID!) { discardRelease(input: {id: $id}) { problem { detail } } }"
    link = "?" + urllib.parse.urlencode({"query": query, "variables": '{"id": "linked"}', "operationName": "Kept"})
    for _ in range(2):  # a link that is opened again opens no second tab
        requested(browser)
        opened(browser, server_url, link)
        see(browser, ".graphiql-query-editor", "mutation Kept")
        see(browser, ".graphiql-editor-tool", '"linked"')
        see(browser, DOCUMENTATION).click()
        see(
            browser, ".graphiql-plugin", "query: Query"
        )  # so the schema is here, and whatever runs at once has run
        bodies = [each.get("postData", "") for each in requested(browser)]
        assert [body for body in bodies if body and "IntrospectionQuery" not in body] == []
        assert tabs(browser) == [*EXAMPLES, "Kept"]
        assert browser.current_url == f"{server_url}/graphql"
        see(browser, "button[aria-label='Hide Documentation Explorer']").click()


def test_the_share_button_makes_such_a_link(browser: webdriver.Chrome, server_url: str) -> None:
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"origin": server_url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    see(browser, "button[aria-label='Share a link to this query']").click()
    see(browser, ".share-status", "link is")
    link = browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    parameters = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)
    assert parameters["query"][0].startswith("# Which version is the latest?")
    assert json.loads(parameters["variables"][0]) == {"product": "acme-desktop", "range": "<1.10"}
    assert parameters["operationName"] == ["Latest"]


def test_the_explorer_writes_a_query_by_keys_alone(browser: webdriver.Chrome) -> None:
    see(browser, EXPLORER).click()
    field = see(browser, "[data-field-name='viewer'][role='button']")
    browser.execute_script("arguments[0].focus()", field)
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    subject = see(browser, "[data-field-name='subject'][role='button']")
    browser.execute_script("arguments[0].focus()", subject)
    ActionChains(browser).send_keys(Keys.SPACE).perform()
    see(browser, ".graphiql-query-editor", "subject")


def test_the_panes_of_a_phone_stand_below_each_other(browser: webdriver.Chrome) -> None:
    show(browser, 390, "light")
    execute(browser, '"1.10.0"')
    boxes = {
        name: see(browser, selector).rect
        for name, selector in (
            ("query", ".graphiql-query-editor .monaco-editor"),
            ("variables", ".graphiql-editor-tool .monaco-editor"),
            ("response", ".graphiql-response .monaco-editor"),
        )
    }
    assert all(box["width"] > 300 and box["height"] > 90 for box in boxes.values()), boxes
    assert boxes["query"]["y"] + boxes["query"]["height"] <= boxes["variables"]["y"]
    assert boxes["variables"]["y"] + boxes["variables"]["height"] <= boxes["response"]["y"]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    # As wide as a finger, and a whole line of the query beside the numbers.
    assert see(browser, "button.graphiql-execute-button").size["width"] >= 40


def test_where_callers_need_a_token_the_page_asks_for_it(
    chromium: webdriver.Chrome, closed_server: Server
) -> None:
    url = closed_server.url
    show(chromium, 1440, "light")
    forget(chromium, url)
    opened(chromium, url)
    see(chromium, "#token", "callers with a token only")
    assert logged(chromium, "browser") == []
    for wrong in (token(-3_000), "none"):
        enter(chromium, wrong)
        see(chromium, "#token [role=alert]", "it is wrong or has expired. Get a new one.")
    enter(chromium, "a b")
    see(chromium, "#token [role=alert]", "without spaces")
    logged(chromium, "browser")  # the browser logs each 401 by itself
    right = token()
    enter(chromium, right)
    see(chromium, ".site button", "Change the token")
    see(chromium, DOCUMENTATION).click()
    see(chromium, ".graphiql-plugin", "query: Query")
    write(chromium, "{ viewer { subject } }")
    assert '"ann"' in execute(chromium, '"subject"').text
    sent = requested(chromium)
    assert {
        each["headers"]["Authorization"] for each in sent if "IntrospectionQuery" in each.get("postData", "")
    } == {f"Bearer {right}"}
    assert not [each for each in sent if right in each["url"]]
    # Subscriptions get the token, too.
    see(chromium, ".graphiql-tab-button", "Follow").click()
    see(chromium, "button.graphiql-execute-button").click()
    follow_one_event(chromium, url, right)
    assert logged(chromium, "browser") == []
    # It lasts as long as the tab of the browser, and is nowhere else.
    opened(chromium, url)
    see(chromium, ".site button", "Change the token")
    assert right not in chromium.execute_script("return JSON.stringify(localStorage) + document.cookie + location")
    see(chromium, ".site button").click()
    see(chromium, "#token [name=forget]").click()
    see(chromium, ".site button", "Enter a token")
    assert chromium.execute_script("return sessionStorage.length") == 0
    see(chromium, "button.graphiql-execute-button").click()
    see(chromium, "#token")


def follow_one_event(browser: webdriver.Chrome, url: str, right: str) -> None:
    """Import releases until the page shows an event: nothing tells when its subscription has begun."""
    imported = 'importRelease(input: {projectIdentifier: "followed", release: $release}) { problem { detail } }'
    mutation = f"mutation ($release: ReleaseDocumentInput!) {{ {imported} }}"
    deadline = time.monotonic() + 60
    for number in range(100):
        release = {
            "name": "followed",
            "version": f"1.{number}",
            "createdAt": "2026-03-01T09:30:00Z",
            "project": "followed",
            "author": "ann@example.org",
            "artifacts": [],
        }
        graphql_client.ask(url, mutation, headers={"authorization": f"Bearer {right}"}, release=release)
        try:
            see(browser, ".graphiql-response", '"release.imported"', seconds=2)
        except TimeoutException:
            assert time.monotonic() < deadline
        else:
            return


def enter(browser: webdriver.Chrome, value: str) -> None:
    """Type a token into the dialog and use it."""
    field = see(browser, "#token input")
    field.clear()
    field.send_keys(value, Keys.ENTER)


def test_the_documentation_shows_the_schema(browser: webdriver.Chrome) -> None:
    see(browser, DOCUMENTATION).click()

    see(browser, ".graphiql-plugin", "query: Query")


def test_the_editor_knows_the_schema(browser: webdriver.Chrome) -> None:
    see(browser, DOCUMENTATION).click()
    see(browser, ".graphiql-plugin", "query: Query")  # so the schema is here
    write(browser, "{ rel")

    see(browser, ".suggest-widget", "releases")


def test_the_formatter_works(browser: webdriver.Chrome) -> None:
    write(browser, "{ __typename }")
    see(browser, ".graphiql-query-editor", "{ __typename }")
    see(browser, "button[aria-label^='Prettify']").click()

    see(browser, ".graphiql-query-editor", "{\n  __typename\n}")


def test_the_page_loads_only_from_this_server_without_complaints(
    browser: webdriver.Chrome, server_url: str
) -> None:
    write(browser, QUERY)
    see(browser, ".graphiql-query-editor", QUERY)
    execute(browser, '"nodes"')
    see(browser, "button[aria-label^='Prettify']").click()
    see(browser, ".graphiql-query-editor", "releases(first: 3) {\n")
    see(browser, DOCUMENTATION).click()
    see(browser, ".graphiql-plugin", "query: Query")

    urls = [each["url"] for each in requested(browser)]
    assert any(url.startswith(f"{server_url}/graphiql/graphql.worker-") for url in urls)
    assert [url for url in urls if not url.startswith((f"{server_url}/", "data:", "blob:"))] == []
    # A breach of the Content-Security-Policy is an error here too.
    assert logged(browser, "browser") == []


def test_completions_fit_on_a_phone(browser: webdriver.Chrome) -> None:
    show(browser, 390, "light")
    for text, completion in (("{ rele", "releases"), ("{ releases(first: 1) { nodes { dependenc", "dependencies")):
        write(browser, text)
        shown = see(browser, ".suggest-widget", completion).rect
        assert shown["x"] >= 0
        assert shown["x"] + shown["width"] <= 390
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
