"""Tests of the page that need a server of their own. test_page.py runs them."""

import os

from playwright.sync_api import expect

from case import PageTest
from kit import Server

TOKEN = "page-test-token-0123456789abcdef"
TOKENS = f'[[token]]\nname = "page"\ntoken = "{TOKEN}"\n'
STYLES = 'name,prompt,negative_prompt\nblue paper,"{prompt} on a blue background",\nloud,loud,quiet\n'


class TestToken(PageTest):
    def test_token(self):
        with open(f"{self.server.dir}/tokens", "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(TOKENS)
        server = Server("--token-file", f"{self.server.dir}/tokens")
        self.addCleanup(server.close)
        page = self.open(server, expected=["401"])
        page.fill("#token", "wrong")
        page.click("text=Go on")
        expect(page.locator(".gate .mistake")).to_have_text("The server does not know this token.")
        page.fill("#token", TOKEN)
        page.click("text=Go on")
        page.wait_for_selector("form.form")
        self.fill(page, prompt="a secret circle", num_inference_steps=4)
        page.click(".send .primary")
        page.wait_for_selector(".gallery li img[src^='blob:']")
        self.assertEqual(TOKEN, page.evaluate("sessionStorage.getItem('daguerre.token')"))
        self.assertNotIn(TOKEN, page.evaluate("JSON.stringify(localStorage) + location.href + document.cookie"))
        page.click("text=Forget the token")
        expect(page.locator("#token")).to_be_visible()


class TestStyles(PageTest):
    def test_styles(self):
        file = f"{self.server.dir}/styles.csv"
        with open(file, "w", encoding="utf-8") as f:
            f.write(STYLES)
        server = Server("--style-file", file)
        self.addCleanup(server.close)
        page = self.open(server)
        self.fill(page, prompt="a red circle", num_inference_steps=4, seed=7)
        page.click("[aria-label=Styles] button:has-text('blue paper')")
        page.click("[aria-label=Styles] button:has-text('loud')")
        page.click("[aria-label=Styles] button:has-text('loud')")
        expect(page.locator("[aria-label=Styles] [aria-pressed=true]")).to_have_text(["blue paper"])
        page.click(".send .primary")
        page.wait_for_selector(".gallery li img[src^='blob:']")
        run = server.value("/v1/runs?limit=1")["runs"][0]["id"]
        self.assertEqual(["blue paper"], server.value(f"/v1/runs/{run}")["request"]["styles"])
        manifest = server.value(f"/v1/runs/{run}/pictures/0/0/manifest")
        self.assertEqual("a red circle on a blue background", manifest["prompt"])
