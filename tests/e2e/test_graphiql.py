"""GraphiQL in a real browser: it works, and it asks nobody but this server for anything."""

import json
from typing import Any, Literal

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from release_catalog.server import graphiql

QUERY = "{ releases(first: 3) { nodes { name version } } }"

pytestmark = pytest.mark.skipif(
    not (graphiql.BUILT / "graphiql.js").is_file(), reason="GraphiQL is not built: make web"
)


@pytest.fixture
def browser(chromium: webdriver.Chrome, server_url: str) -> webdriver.Chrome:
    """The browser on its first visit to the page, with GraphiQL on it and nothing older in its logs."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": server_url, "storageTypes": "all"})
    logged(chromium, "performance")
    logged(chromium, "browser")
    chromium.get(f"{server_url}/graphql")
    see(chromium, ".graphiql-query-editor .view-line")
    return chromium


def logged(browser: webdriver.Chrome, log: str) -> list[dict[str, Any]]:
    """Return the new entries of a log since the last call."""
    entries: list[dict[str, Any]] = browser.get_log(log)  # type: ignore[no-untyped-call]  # selenium's omission
    return entries


def see(browser: webdriver.Chrome, selector: str, text: str = "", seconds: float = 30) -> WebElement:
    """The first element that matches and shows the text, once there is one."""

    def shown(_: object) -> WebElement | Literal[False]:
        # Monaco writes no-break spaces.
        matching = browser.find_elements(By.CSS_SELECTOR, selector)
        return next((each for each in matching if text in each.text.replace("\N{NO-BREAK SPACE}", " ")), False)

    wait = WebDriverWait(browser, seconds, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(shown, f"{selector} does not show {text!r}")


def write(browser: webdriver.Chrome, query: str) -> None:
    """Type over what the editor holds."""
    see(browser, ".graphiql-query-editor").click()
    everything = ActionChains(browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
    everything.send_keys(Keys.DELETE, query).perform()


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


def requested(browser: webdriver.Chrome) -> list[str]:
    """The URLs asked for since the last call, over HTTP and web sockets."""
    messages = [json.loads(entry["message"])["message"] for entry in logged(browser, "performance")]
    sent = [each["params"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    sockets = [each["params"] for each in messages if each["method"] == "Network.webSocketCreated"]
    return [each["request"]["url"] for each in sent] + [each["url"] for each in sockets]


def test_a_typed_query_shows_its_result(browser: webdriver.Chrome) -> None:
    write(browser, QUERY)
    see(browser, ".graphiql-query-editor", QUERY)
    response = execute(browser, '"nodes"')
    assert '"errors"' not in response.text
    assert response.text.count('"version"') == 3


def test_the_first_query_runs_as_it_is(browser: webdriver.Chrome) -> None:
    see(browser, ".graphiql-query-editor", "query NewestReleases")
    assert '"errors"' not in execute(browser, '"releases"').text


def test_the_documentation_shows_the_schema(browser: webdriver.Chrome) -> None:
    see(browser, "button[aria-label='Show Documentation Explorer']").click()

    see(browser, ".graphiql-plugin", "query: Query")


def test_the_editor_knows_the_schema(browser: webdriver.Chrome) -> None:
    see(browser, "button[aria-label='Show Documentation Explorer']").click()
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
    see(browser, "button[aria-label='Show Documentation Explorer']").click()
    see(browser, ".graphiql-plugin", "query: Query")

    urls = requested(browser)
    assert f"{server_url}/graphiql/graphql.worker.js" in urls
    assert [url for url in urls if not url.startswith((f"{server_url}/", "data:", "blob:"))] == []
    # A breach of the Content-Security-Policy is an error here too.
    assert logged(browser, "browser") == []
