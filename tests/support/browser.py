"""A page in a real browser: what it shows, requests and logs."""

import json
from typing import Any, Literal

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

IGNORED = [StaleElementReferenceException]


def logged(browser: webdriver.Chrome, log: str) -> list[dict[str, Any]]:
    """Return the new entries of a log since the last call."""
    entries: list[dict[str, Any]] = browser.get_log(log)  # type: ignore[no-untyped-call]  # selenium's omission
    return entries


def forget(browser: webdriver.Chrome, url: str) -> None:
    """Make the next visit to a server the first, with nothing older in the logs."""
    browser.get("about:blank")
    browser.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "all"})
    logged(browser, "performance")
    logged(browser, "browser")


def see(browser: webdriver.Chrome, selector: str, text: str = "", seconds: float = 30) -> WebElement:
    """The first element that matches and shows the text, once there is one."""

    def shown(_: object) -> WebElement | Literal[False]:
        # Monaco writes no-break spaces.
        matching = browser.find_elements(By.CSS_SELECTOR, selector)
        return next(
            (
                each
                for each in matching
                if each.is_displayed() and text in each.text.replace("\N{NO-BREAK SPACE}", " ")
            ),
            False,
        )

    wait = WebDriverWait(browser, seconds, ignored_exceptions=IGNORED)
    return wait.until(shown, f"{selector} does not show {text!r}")


def write(browser: webdriver.Chrome, query: str) -> None:
    """Type over what the editor holds."""
    see(browser, ".graphiql-query-editor").click()
    everything = ActionChains(browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
    everything.send_keys(Keys.DELETE, query).perform()


def requested(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """The requests since the last call, over HTTP and web sockets, each with its url."""
    messages = [json.loads(entry["message"])["message"] for entry in logged(browser, "performance")]
    sent = [each["params"]["request"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    sockets = [each["params"] for each in messages if each["method"] == "Network.webSocketCreated"]
    return sent + sockets


def show(browser: webdriver.Chrome, width: int, scheme: str) -> None:
    """Show pages at a width, on a phone if it is small, and in a colour scheme."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
