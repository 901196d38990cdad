"""What the tests of the page share."""

import unittest

from playwright.sync_api import expect

from kit import WAIT

expect.set_options(timeout=WAIT)


class PageTest(unittest.TestCase):
    """What tests share. setUpModule sets the server and the browser."""

    server = browser = None

    def tearDown(self):
        for run in self.server.value("/v1/runs?state=queued,running")["runs"]:
            self.server.cancel(run["id"])

    def open(self, which=None, **options):
        page = self.browser.page(which or self.server, **options)
        self.addCleanup(page.context.close)
        self.addCleanup(lambda: self.assertEqual([], page.faults, "what the browser complains of"))
        if which is None:
            page.wait_for_selector("form.form")
        return page

    def fill(self, page, **fields):
        for key, value in fields.items():
            page.fill(f"#field-{key}", str(value))
            page.press(f"#field-{key}", "Tab")

    def make(self, page):
        """Presses the button, and returns the run once it has ended."""
        with page.expect_response(lambda r: "/v1/runs?" in r.url and r.request.method == "POST") as answer:
            page.click(".send .primary")
        self.assertEqual(202, answer.value.status, answer.value.text())
        run = answer.value.json()["id"]
        self.server.get(f"/v1/runs/{run}/events")
        return self.server.value(f"/v1/runs/{run}")

    def file(self, data, name="picture.png"):
        return {"name": name, "mimeType": "image/png", "buffer": data}

    def section(self, page, name):
        page.locator("summary", has_text=name).click()

    def pixel(self, page, selector, x, y):
        """The colour of a picture of the page, at fractions of its width and height."""
        page.wait_for_selector(selector)
        return page.eval_on_selector(selector, """async (img, [x, y]) => {
            await img.decode();
            const c = new OffscreenCanvas(img.naturalWidth, img.naturalHeight).getContext('2d');
            c.drawImage(img, 0, 0);
            return [...c.getImageData(x * img.naturalWidth, y * img.naturalHeight, 1, 1).data.slice(0, 3)];
        }""", [x, y])
