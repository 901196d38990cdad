"""The page of daguerre serve in a browser. make test-page calls this."""

import json
import unittest

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from case import PageTest
from kit import Browser, Server, circle, png
from test_own import TestStyles, TestToken

for own in (TestStyles, TestToken):
    own.__module__ = __name__  # so that setUpModule is theirs, too


class TestMaking(PageTest):
    def test_a_picture_grows_from_a_prompt(self):
        page = self.open()
        self.fill(page, prompt="a red circle on a blue background", seed=7, num_inference_steps=400)
        page.click(".send .primary")
        page.wait_for_selector(".stage .tile img.growing[src^='data:image/jpeg']")
        expect(page.locator(".stage .line [role=status]")).to_contain_text("Done")
        page.wait_for_selector(".stage .tile img[src^='blob:']")
        red, _, blue = self.pixel(page, ".stage .tile img", 0.5, 0.5)
        self.assertGreater(red, blue + 80, "the middle is red")
        red, _, blue = self.pixel(page, ".stage .tile img", 0.03, 0.03)
        self.assertGreater(blue, red + 80, "the corner is blue")
        expect(page.locator(".gallery li img").first).to_be_visible()

    def test_cancel(self):
        page = self.open()
        self.fill(page, prompt="a slow circle", num_inference_steps=1000, num_images=16)
        page.click(".send .primary")
        page.wait_for_selector(".stage .tile img.growing")
        page.click(".stage button:has-text('Cancel')")
        expect(page.locator(".stage .line [role=status]")).to_contain_text("Cancelled")
        expect(page.locator(".stage button:has-text('Cancel')")).to_have_count(0)

    def test_writing_while_a_picture_is_made(self):
        page = self.open()
        self.fill(page, prompt="a circle", num_inference_steps=1000, num_images=16)
        page.click(".send .primary")
        page.wait_for_selector(".stage .tile img.growing")
        for field, text in {"guidance_scale": "6.25", "prompt": "a square, slowly", "seed": "123456"}.items():
            page.fill(f"#field-{field}", "")
            page.locator(f"#field-{field}").press_sequentially(text, delay=150)  # drawn again in between
            expect(page.locator(f"#field-{field}")).to_have_value(text)

    def test_mistakes_stand_at_their_fields(self):
        page = self.open(expected=["422"])
        self.fill(page, prompt="x", num_inference_steps=5000)
        page.click(".send .primary")
        expect(page.locator("#field-num_inference_steps-wrong")).to_contain_text("1000")
        expect(page.locator("#field-num_inference_steps")).to_have_attribute("max", "1000")
        self.fill(page, num_inference_steps=5)
        expect(page.locator("#field-num_inference_steps-wrong")).to_have_count(0)

    def test_adapters(self):
        page = self.open()
        self.fill(page, prompt="a red circle on a blue background", num_inference_steps=8)
        self.section(page, "Adapters")
        page.select_option("#add-adapter", "nano-lora-outline")
        page.click(".chip:has-text('outlined')")
        expect(page.locator("#field-prompt")).to_have_value("a red circle on a blue background, outlined")
        page.fill("#field-lora-0-weight", "0.7")
        page.press("#field-lora-0-weight", "Tab")
        run = self.make(page)
        self.assertEqual("done", run["state"])
        self.assertEqual([{"name": "nano-lora-outline", "weight": 0.7}], run["request"]["lora"])

    def test_controlnet_shows_its_map(self):
        page = self.open()
        self.fill(page, prompt="a green circle on a white background", num_inference_steps=8)
        self.section(page, "ControlNet")
        page.click("text=Add a ControlNet")
        page.set_input_files("#control-0", self.file(png(128, 128, circle)))
        page.select_option("#field-controlnet-0-preprocessor", "canny")
        page.click("text=Preview the map")
        page.wait_for_selector(".map img")
        self.assertEqual([0, 0, 0], self.pixel(page, ".map img", 0.5, 0.5), "there is no edge in the middle")
        row = [self.pixel(page, ".map img", x / 128, 0.5)[0] for x in range(20, 45)]
        self.assertIn(255, row, "the circle's edge is white")
        run = self.make(page)
        self.assertEqual("done", run["state"])
        net = run["request"]["controlnet"][0]
        self.assertEqual(("nano-controlnet-canny", "canny"), (net["model"], net["preprocessor"]))

    def test_presets(self):
        page = self.open()
        self.fill(page, prompt="kept", num_inference_steps=9)
        page.click("text=Save …")
        page.fill("#preset-name", "Mine")
        page.click("dialog .primary")
        page.select_option("#preset", label="Quick draft")
        expect(page.locator("#field-num_inference_steps")).to_have_value("12")
        page.select_option("#preset", label="Mine")
        expect(page.locator("#field-num_inference_steps")).to_have_value("9")
        expect(page.locator("#field-prompt")).to_have_value("kept")
        page.reload()
        expect(page.locator("#field-num_inference_steps")).to_have_value("9")

    def test_the_queue(self):
        page = self.open()
        self.fill(page, prompt="a circle", num_inference_steps=1000, num_images=16)
        page.click(".send .primary")
        page.wait_for_selector(".stage .tile img.growing")
        self.fill(page, num_images=2)
        page.click(".send .primary")
        lines = page.locator(".queue li")
        expect(lines).to_have_count(2)
        expect(lines.first).to_contain_text("in work")
        expect(lines.last).to_contain_text("2 pictures")
        expect(lines.first).to_contain_text("ready in about")
        lines.last.locator("button[title=Cancel]").click()
        expect(lines).to_have_count(1)


class TestFleet(PageTest):
    def test_workers_and_queues(self):
        page = self.open()
        self.fill(page, prompt="a slow circle", num_inference_steps=1000, num_images=16)
        page.click(".send .primary")
        page.wait_for_selector(".stage .tile img.growing")
        section = page.locator(".fleet")
        expect(section).to_have_count(0)  # one worker: there is nothing to tell
        workers = 2

        def answer(route):
            got = route.fetch()
            fleet = got.json()
            second = {**fleet["workers"][0], "name": "second", "draining": True, "loaded": [], "images": 3}
            second |= {"device": "A device", "free_bytes": 3 * 2**29, "images_per_minute": 1.25}
            fleet["workers"] = [fleet["workers"][0], second][:workers]
            route.fulfill(response=got, json=fleet)

        page.route("**/v1/fleet", answer)
        page.reload()
        expect(section.locator("summary")).to_contain_text("2 workers")
        section.locator("summary").click()
        rows = section.locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("nano")
        expect(rows.last.locator("th, td")).to_have_text(["second (ends)", "A device, 1.5 GiB free", "none", "3", "1.3"])
        expect(section.locator(".note")).to_contain_text("1 in work; 1 worker has the model")
        workers = 0
        expect(section.locator("summary")).to_have_text("No worker is there")


class TestPictures(PageTest):
    def test_inpainting_with_the_brush(self):
        page = self.open()
        self.section(page, "Start from a picture")
        page.set_input_files("#start", self.file(png(128, 128, circle)))
        page.click("text=Paint a mask")
        box = page.locator("dialog canvas").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.15)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.85, steps=8)
        page.mouse.up()
        page.click("text=Use the mask")
        self.assertEqual([255, 255, 255], self.pixel(page, ".mask img", 0.2, 0.5))
        self.assertEqual([0, 0, 0], self.pixel(page, ".mask img", 0.8, 0.5))
        self.fill(page, **{"inpaint-blur": 2})
        page.check("#field-inpaint-paste_back")
        self.fill(page, prompt="a red circle on a yellow background", num_inference_steps=20, seed=3)
        run = self.make(page)
        self.assertEqual({"blur": 2}, run["request"]["inpaint"], "paste_back is the default")
        self.assertEqual("done", run["state"])
        self.assertTrue(run["request"]["mask_image"].startswith("upload:"))
        page.wait_for_selector(".stage .tile img[src^='blob:']")
        self.assertNear((30, 60, 210), self.pixel(page, ".stage .tile img", 0.95, 0.5), 40, "what is not masked stays")
        self.assertNear((220, 30, 30), self.pixel(page, ".stage .tile img", 0.6, 0.5), 60, "what is not masked stays")
        painted = self.pixel(page, ".stage .tile img", 0.2, 0.5)
        self.assertGreater(sum(abs(a - b) for a, b in zip(painted, (220, 30, 30))), 30, "the mask was painted again")

    def assertNear(self, want, got, far, why):
        self.assertLess(max(abs(a - b) for a, b in zip(want, got)), far, f"{why}: {got} and not {want}")

    def test_the_brush_by_keyboard(self):
        page = self.open()
        self.section(page, "Start from a picture")
        page.set_input_files("#start", self.file(png(128, 128, circle)))
        page.click("text=Paint a mask")
        canvas = page.locator("dialog canvas")
        expect(canvas).to_be_focused()
        for key in ("ArrowLeft", "ArrowUp", " "):
            canvas.press(key)
        page.click("text=Use the mask")
        self.assertEqual([255, 255, 255], self.pixel(page, ".mask img", 0.44, 0.44))
        self.assertEqual([0, 0, 0], self.pixel(page, ".mask img", 0.8, 0.8))

    def drop(self, page, data, name="dropped.png"):
        page.evaluate("""([bytes, name]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));
            document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
        }""", [list(data), name])

    def test_a_picture_gives_back_its_settings(self):
        old = SERVER.make(prompt="a green star, outlined", negative_prompt="", seed=11, num_inference_steps=9, guidance_scale=4.5,
                          scheduler="DPM++ 2M Karras", lora=[{"name": "nano-lora-outline", "weight": 0.5}])
        picture = old["pictures"][0]
        page = self.open()
        self.drop(page, SERVER.get(picture["url"]))
        for key, value in {"prompt": "a green star, outlined", "seed": "11", "num_inference_steps": "9", "guidance_scale": "4.5",
                           "lora-0-weight": "0.5", "scheduler": "DPM++ 2M Karras"}.items():
            expect(page.locator(f"#field-{key}")).to_have_value(value)
        new = self.make(page)
        self.assertEqual(picture["sha256"], new["pictures"][0]["sha256"], "it is the same picture again")

    def test_settings_of_other_programs(self):
        text = ("a fox, <b>\nNegative prompt: blur, grain\nSteps: 22, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 99, "
                "Size: 128x64, Model hash: abc, Model: other, Clip skip: 2, Face restoration: CodeFormer, Version: v1.9")
        page = self.open()
        self.drop(page, png(8, 8, circle, [("parameters", text)]))
        for key, value in {"prompt": "a fox, <b>", "negative_prompt": "blur, grain", "num_inference_steps": "22", "scheduler": "DPM++ 2M",
                           "sigmas": "karras", "guidance_scale": "6.5", "seed": "99", "width": "128", "height": "64",
                           "clip_skip": "0"}.items():
            expect(page.locator(f"#field-{key}")).to_have_value(value)
        expect(page.locator(".toast")).to_contain_text("The model other is not on this server")
        expect(page.locator(".toast")).to_contain_text("Not taken over: Face restoration.")
        page.click(".toast >> text=Undo")
        expect(page.locator("#field-prompt")).to_have_value("")

    def test_a_file_that_tells_nothing(self):
        page = self.open()
        self.drop(page, png(8, 8, circle))
        page.click(".toast >> text=Start from this picture")
        expect(page.locator(".picker img")).to_be_visible()
        self.drop(page, b"no picture", "notes.txt")
        expect(page.locator(".toast.bad")).to_contain_text("notes.txt is no picture")

    def test_gallery_compare_and_download(self):
        for seed in (1, 2):
            SERVER.make(prompt="a white circle", seed=seed, num_inference_steps=4)
        page = self.open()
        cards = page.locator(".gallery li")
        cards.nth(0).locator("button[title=Compare]").click()
        cards.nth(1).locator("button[title=Compare]").click()
        page.click(".gallery .title .primary")
        expect(page.locator("dialog table")).to_contain_text("seed")
        page.locator("dialog input[type=range]").fill("20")
        self.assertEqual("20%", page.eval_on_selector(".both", "e => e.style.getPropertyValue('--border')"))
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).not_to_be_visible()
        cards.nth(0).locator(".open").click()
        with page.expect_download() as download:
            page.click("dialog >> text=Download")
        self.assertRegex(download.value.suggested_filename, r"^daguerre-2-.*\.png$")
        page.keyboard.press("ArrowRight")
        expect(page.locator("dialog h2")).to_have_text("Seed 1")
        page.click("dialog >> text=Use its settings")
        expect(page.locator("#field-seed")).to_have_value("1")
        expect(page.locator("#field-prompt")).to_have_value("a white circle")

    def test_delete(self):
        run = SERVER.make(prompt="a short life", num_inference_steps=2)
        page = self.open()
        page.on("dialog", lambda d: d.accept())
        page.locator(".gallery .open[aria-label*='a short life']").click()
        page.click("dialog >> text=Delete")
        expect(page.locator(".gallery .open[aria-label*='a short life']")).to_have_count(0)
        runs = json.dumps(SERVER.value("/v1/runs"))
        self.assertNotIn(run["id"], runs)


class TestFace(PageTest):
    def serious(self, page, where):
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        bad = [f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes'][:3]]}" for v in found if v["impact"] in ("serious", "critical")]
        self.assertEqual([], bad, where)

    def test_axe_finds_nothing_serious(self):
        SERVER.make(prompt="a blue square", num_inference_steps=4)
        for scheme in ("light", "dark"):
            page = self.open(color_scheme=scheme, bypass_csp=True)
            page.wait_for_selector(".gallery li img")
            self.serious(page, f"the page, {scheme}")
            for summary in page.locator(".form summary").all():
                summary.click()
            page.click("text=Add a ControlNet")
            page.select_option("#add-adapter", "nano-lora-outline")
            page.wait_for_selector(".chip:has-text('outlined')")
            page.set_input_files("#start", self.file(png(16, 16, circle)))
            page.locator(".hint").first.click()
            self.serious(page, f"all sections, {scheme}")
            page.click("text=Paint a mask")
            self.serious(page, f"the brush, {scheme}")
            page.keyboard.press("Escape")
            page.locator(".gallery .open").first.click()
            self.serious(page, f"a picture, {scheme}")
            page.keyboard.press("Escape")
            page.click("[aria-label='Keyboard shortcuts']")
            self.serious(page, f"the keyboard, {scheme}")
            page.context.close()

    def test_phone(self):
        page = self.open(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2)
        self.fill(page, prompt="a small circle", num_inference_steps=4)
        self.assertEqual("done", self.make(page)["state"])
        page.wait_for_selector(".stage .tile img[src^='blob:']")
        for summary in page.locator(".form summary").all():
            summary.click()
        wide = page.evaluate("document.documentElement.scrollWidth")
        self.assertLessEqual(wide, 390, "nothing is wider than the phone")
        self.assertTrue(page.locator(".send .primary").is_visible())

    def test_dark_and_light(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        page = self.open(color_scheme="dark")
        self.assertEqual("rgb(21, 20, 19)", page.evaluate(ground))
        page.click("[aria-label='Light colours']")
        self.assertEqual("rgb(246, 244, 240)", page.evaluate(ground))
        page.reload()
        page.wait_for_selector("form.form")
        self.assertEqual("rgb(246, 244, 240)", page.evaluate(ground))

    def test_keyboard(self):
        page = self.open()
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("/")
        expect(page.locator("#field-prompt")).to_be_focused()
        outline = page.eval_on_selector("#field-prompt", "e => getComputedStyle(e).outlineStyle")
        self.assertEqual("solid", outline, "the focus is seen")
        page.keyboard.type("a / in a prompt is a letter?")
        expect(page.locator("#field-prompt")).to_have_value("a / in a prompt is a letter?")
        self.fill(page, num_inference_steps=4)
        page.keyboard.press("Control+Enter")
        expect(page.locator(".stage .line [role=status]")).to_contain_text("Done")
        page.keyboard.press("?")
        expect(page.locator("dialog h2")).to_have_text("Keyboard")
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).not_to_be_visible()
        order = []
        page.locator(".skip").focus()
        for _ in range(9):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"))
        want = ["recipe", "Keyboard shortcuts", "Dark colours", "What is Prompt?", "field-prompt", "What is Negative prompt?",
                "field-negative_prompt", "", "preset"]
        self.assertEqual(want, order, "the focus goes from top to bottom")

    def test_only_this_server(self):
        headers = self.open().request.get(SERVER.url + "/").headers
        self.assertIn("default-src 'self'", headers["content-security-policy"])
        self.assertNotIn("unsafe", headers["content-security-policy"])


SERVER = BROWSER = None


def setUpModule():
    global SERVER, BROWSER
    SERVER = PageTest.server = Server()
    unittest.addModuleCleanup(SERVER.close)
    BROWSER = PageTest.browser = Browser()
    unittest.addModuleCleanup(BROWSER.close)


if __name__ == "__main__":
    unittest.main(verbosity=2)
