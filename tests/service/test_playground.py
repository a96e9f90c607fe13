"""The playground in a real browser, over a service that asks for keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.keys import new_key
from tests.service.browser import PROGRAM, Page, browsing
from tests.service.harness import Running, running, until
from tests.service.versions import CARD

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")
TEXT, KEY = new_key("reader", frozenset(["infer"]))


@pytest.fixture(scope="module")
def guarded(store_path: Path) -> Iterator[Running]:
    with running(store_path, keys=KEY.line) as started:
        yield started


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(guarded: Running, browser: Page) -> Page:
    """The playground with the key given and a model chosen."""
    browser.open(guarded.url)
    refusal = "(document.getElementById('state')?.textContent ?? '').startsWith('this service needs a key')"
    until(lambda: browser.evaluate(refusal), "the refusal without a key")
    browser.evaluate(f"$('key').value = {json.dumps(TEXT)}; $('key').onchange()")
    until(lambda: browser.evaluate("$('card').hidden === false"), "the models")
    return browser


def test_a_model_card_is_fetched_with_the_key_and_stays_text(page: Page) -> None:
    page.evaluate("$('card').querySelector('summary').click()")
    until(lambda: page.evaluate("$('card-text').textContent"), "the card")
    assert page.evaluate("$('card-text').textContent") == CARD.decode()
    assert page.evaluate("$('card-text').querySelectorAll('script').length") == 0


def test_another_model_closes_the_card(page: Page) -> None:
    page.evaluate("$('card').open = true")
    until(lambda: page.evaluate("$('card-text').textContent"), "the card")
    page.evaluate("$('model').value = 'plain'; $('model').onchange()")
    until(lambda: page.evaluate("model.name") == "plain", "the other model")
    assert page.evaluate("[$('card').open, $('card-text').textContent]") == [False, ""]


def test_a_wrong_key_says_so(page: Page) -> None:
    page.evaluate("$('key').value = 'cf_wrong'; $('card').open = true")
    until(lambda: page.evaluate("$('card-text').textContent"), "the refusal")
    assert page.evaluate("$('card-text').textContent").startswith("this service needs a key")


def test_a_whole_visit(page: Page) -> None:
    page.evaluate("$('model').value = 'labels'; $('model').onchange()")
    until(lambda: page.evaluate("model.name") == "labels", "the model")
    for button, place in (("draw", "samples"), ("score", "scores"), ("infer", "inferred")):
        page.evaluate(f"$('{button}').click()")
        until(lambda place=place: page.evaluate(f"$('{place}').textContent"), place)
        assert page.evaluate(f"$('{place}').querySelector('.problem')?.textContent") is None
    refused = [line for line in page.said if "Content Security Policy" in line or "exceptionDetails" in line]
    assert not refused


@pytest.mark.parametrize(("condition", "warned"), [("[0.5, 0]", False), ("[40, 0]", True)])
def test_a_condition_far_out_is_warned_of(page: Page, condition: str, warned: bool) -> None:
    page.evaluate("$('model').value = 'vector'; $('model').onchange()")
    until(lambda: page.evaluate("model.name") == "vector", "the model")
    page.evaluate(f"$('numbers').value = '{condition}'; $('draw').onclick()")
    until(lambda: page.evaluate("$('samples').textContent"), "the samples")
    assert page.evaluate("$('samples').textContent.includes('outside what this version was fitted to')") is warned


def test_the_reference_is_fetched_with_the_key(page: Page) -> None:
    page.evaluate("$('reference').click()")
    until(lambda: page.evaluate("document.body.className === 'reference'"), "the reference")
    assert page.evaluate("document.getElementById('post-sample') !== null")
    assert page.evaluate("document.querySelector('a[download]').href").startswith("blob:")
