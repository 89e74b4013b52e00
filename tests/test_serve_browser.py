"""The page in headless Chromium, as people use it. With COPYTRACE_SCREENSHOTS=FOLDER every state is also kept as a picture."""

import json
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from services import Running, photo, running

from copytrace.engine.collection import Keys, Role

from bundle_files import small_bundle

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="needs playwright (pip install playwright)"),
]
SCRIPT = "<img src=x onerror=document.title=1>"
LONG = "a-very-long-id/with/slashes/" + "x" * 120
FRESH = count()
IDS = ["R0", SCRIPT, LONG, "R3", "R4", "Ü 5?#&"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("browsed")
    with running(folder / "refs.ct", bundle=small_bundle(folder / "bundle"), no_auth=False) as found:
        found.client.headers["authorization"] = f"Bearer {key_of(found, 'admin')}"
        metadata = [{"owner": SCRIPT, "note": "long " * 40}, None, {SCRIPT: [1, {"a": None}]}, None, None, None]
        form = {"ids": json.dumps(IDS), "metadata": json.dumps(metadata)}
        found.add(*((f"{i}.jpg", photo(i)) for i in range(6)), data=form)
        set_thresholds(found, 0.99, 0.99)
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, served: Running) -> Iterator[Any]:
    """A page on which no script of others has run when the test ends, and none has failed."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    failures: list[str] = []
    opened.on("pageerror", lambda error: failures.append(str(error)))
    yield opened
    assert opened.title() == "copytrace" and not failures
    context.close()


def key_of(served: Running, role: Role) -> str:
    with Keys(served.service.path) as keys:
        known = [key for key in keys.list_keys() if key.role == role]
        return keys.add(f"{role} {SCRIPT} {len(known)}", role, "the test")


def log_in(page: Any, served: Running, role: Role = "admin") -> None:
    page.goto(served.url)
    page.fill("#key", key_of(served, role))
    page.click("text=Log in")
    page.wait_for_selector("nav a[aria-current]")  # its script runs


def queue(served: Running, *names: str) -> list[dict[str, Any]]:
    """Let pairs wait for a decision, of each image the best one, and no others."""
    for review in served.client.get("/v1/reviews").json()["items"]:
        served.client.post(f"/v1/reviews/{review['id']}", json={"decision": "accept"})
    set_thresholds(served, 1, 0)
    for name in names:
        content = cv2.imencode(".png", pixels(3) // 2 + np.uint8(next(FRESH)))[1].tobytes()
        served.match((name, content), verify="candidates", k=1)
    set_thresholds(served, 0.99, 0.99)
    return served.client.get("/v1/reviews").json()["items"]


def set_thresholds(served: Running, match: float, review: float) -> None:
    assert served.client.put("/v1/thresholds", json={"match": match, "review": review}).status_code == 200


def pixels(number: int) -> Any:
    return cv2.imdecode(np.frombuffer(photo(number), np.uint8), cv2.IMREAD_COLOR)


def pasted(number: int) -> bytes:
    """A photograph on a larger one that is none of the references."""
    background = cv2.resize(pixels(61), (480, 360))
    background[90:290, 150:400] = cv2.resize(pixels(number), (250, 200), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", background)[1].tobytes()


def given(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": data}


def has_outline(canvas: Any) -> bool:
    """Whether something is drawn on a picture in the colour of the regions."""
    picture = cv2.imdecode(np.frombuffer(canvas.screenshot(), np.uint8), cv2.IMREAD_COLOR).astype(int)
    return bool((np.abs(picture - (0, 157, 255)).sum(axis=2) < 30).sum() > 50)


def test_logging_in_and_out(page: Any, served: Running) -> None:
    page.goto(served.url)
    page.fill("#key", "ct_wrong")
    page.click("text=Log in")
    page.wait_for_selector("#message >> text=not known")
    log_in(page, served)
    assert page.evaluate("document.cookie") == "" and SCRIPT in page.inner_text(".who")
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    page.click("text=Log out")
    page.wait_for_selector("#key")
    assert page.context.cookies() == []
    log_in(page, served)
    page.wait_for_load_state("networkidle")
    page.context.clear_cookies()  # the session ends elsewhere
    page.click("nav >> text=References")
    page.wait_for_selector("#key")


def test_an_image_and_its_matches_with_their_regions(page: Any, served: Running) -> None:
    found = served.match(("q", pasted(3)), verify="candidates")[0]["matches"]
    between = sum(match["probability"] for match in found[:2]) / 2
    set_thresholds(served, between, between)
    log_in(page, served)
    page.set_input_files("#file", given(f"{SCRIPT}.png", pasted(3)))
    first = page.wait_for_selector("#results > article")
    assert first.query_selector(".id").inner_text() == "R3" and "match" in first.inner_text()
    query, reference = first.query_selector_all("canvas")
    assert has_outline(query) and has_outline(reference)
    page.click("summary")
    assert page.locator("#results .id").count() == 5 and "copy of one reference" in page.inner_text("#message")
    page.set_input_files("#file", given("no.png", b"no image"))
    page.wait_for_selector("#message.failed:text('cannot be used')")
    page.evaluate(
        """([bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], "pasted.jpg", { type: "image/jpeg" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        [list(photo(4))],
    )
    page.wait_for_selector("#results > article .id:text-is('R4')")
    set_thresholds(served, 0.99, 0.99)


def test_the_queue_by_keyboard(page: Any, served: Running) -> None:
    names = ["first", "second", f"{SCRIPT}.png"]
    newest, middle, oldest = queue(served, *names)
    log_in(page, served, "review")
    assert page.wait_for_selector("#waiting:text-is('3')")
    page.click("nav >> text=Review")

    def shown(name: str) -> None:
        page.wait_for_selector(f".facts:has-text('“{name}”')")

    page.wait_for_selector("#review article")
    assert SCRIPT in page.inner_text("#review")
    assert all(has_outline(canvas) for canvas in page.query_selector_all("#review canvas"))
    page.keyboard.press("ArrowRight")
    shown("second")
    page.keyboard.press("a")
    shown("first")
    page.keyboard.press("ArrowLeft")
    shown(f"{SCRIPT}.png")
    page.keyboard.press("R")
    shown("first")
    page.keyboard.press("r")
    page.wait_for_selector("text=Nothing waits")
    assert page.is_hidden("#waiting")

    def decided() -> dict[str, str]:
        items = served.client.get("/v1/reviews?decided=true").json()["items"]
        return {item["name"]: item["decision"] for item in items if item["id"] >= oldest["id"]}

    assert decided() == {middle["name"]: "accept", newest["name"]: "reject", oldest["name"]: "reject"}
    page.keyboard.press("u")
    shown("first")
    page.wait_for_selector("#message:text('Taken back')")
    page.click("#accept")
    page.wait_for_selector("#message:text('Accepted: ')")
    assert decided()["first"] == "accept"
    (again, gone) = queue(served, "again", "gone")[::-1]
    page.select_option("#order", "doubtful")
    page.wait_for_selector("#place:text-is('1 of 2')")
    for review in (again, gone):  # somebody else is faster
        served.client.post(f"/v1/reviews/{review['id']}", json={"decision": "reject"})
    page.keyboard.press("a")
    page.wait_for_selector("#message:text('meanwhile it was rejected by')")
    page.keyboard.press("a")
    page.wait_for_selector("text=Nothing waits")
    assert decided()["again"] == decided()["gone"] == "reject"


def test_references_are_found_and_deleted(page: Any, served: Running) -> None:
    served.add(("gone.jpg", photo(9)))
    log_in(page, served)
    page.click("nav >> text=References")
    page.wait_for_selector("#list li >> nth=6")
    assert SCRIPT in page.inner_text("#list") and "long long" in page.inner_text(".metadata >> nth=0")
    page.fill("#prefix", "R")
    page.click("text=Find >> nth=0")
    page.wait_for_selector("#list:not(:has-text('gone'))")
    assert page.locator("#list .id").all_inner_texts() == ["R0", "R3", "R4"]
    page.set_input_files("#by-image", given("q.png", cv2.imencode(".png", pixels(9))[1].tobytes()))
    assert page.wait_for_selector("#list li:has-text('%')").query_selector(".id").inner_text() == "gone"
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#list li:has-text('gone') >> text=Delete")
    assert served.client.get("/v1/references/gone").status_code == 200
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#list li:has-text('gone') >> text=Delete")
    page.wait_for_selector("#message:text('Deleted')")
    assert served.client.get("/v1/references/gone").status_code == 404


def test_what_a_key_may_not_do_is_not_there(page: Any, served: Running) -> None:
    log_in(page, served, "read")
    assert page.locator("nav a").all_inner_texts() == ["Match", "References", "Today"]
    page.goto(f"{served.url}/#references")
    page.wait_for_selector("#list li")
    assert page.locator("text=Delete").count() == 0
    page.goto(f"{served.url}/#reviews")  # and the address alone leads nowhere
    page.wait_for_selector("#drop")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_state_fits(chromium: Any, served: Running, width: int, scheme: str) -> None:
    """Nothing is wider than the screen, and the colours follow the system."""
    queue(served, f"{width} {scheme} {LONG}.png")
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    folder = os.environ.get("COPYTRACE_SCREENSHOTS")

    def check(state: str, selector: str) -> None:
        page.wait_for_selector(selector)
        if folder:
            page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state
        if folder:
            page.screenshot(path=Path(folder) / f"{state}-{width}-{scheme}.png", full_page=True)

    page.goto(served.url)
    check("login", "#key")
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (max(map(int, colour[4:-1].split(","))) < 80) == (scheme == "dark")
    page.fill("#key", "ct_wrong")
    page.click("text=Log in")
    check("login-refused", "text=not known")
    log_in(page, served)
    check("start", "#drop")
    page.set_input_files("#file", given("q.png", pasted(3)))
    check("match", "#results article")
    for part, selector in (("reviews", "#review article"), ("references", "#list li"), ("today", "#numbers dd")):
        page.goto(f"{served.url}/#{part}")
        check(part, selector)
    page.goto(f"{served.url}/#references")
    page.fill("#prefix", "nothing")
    page.keyboard.press("Enter")
    check("nothing", "text=no reference's id begins so")
    context.close()
