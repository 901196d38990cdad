"""Takes the pictures of docs/page.md, in light and dark. make page-pictures calls this."""

import pathlib
import sys

from kit import Browser, Server, circle, png

WORDS = ["a red circle on a blue background", "a green triangle on a white background", "a big yellow star on a purple background",
         "a blue square on an orange background", "a white circle on a green background", "a small red star on a yellow background"]


def fill(page, **fields):
    for key, value in fields.items():
        page.fill(f"#field-{key}", str(value))
        page.press(f"#field-{key}", "Tab")


def settle(page):
    """Waits until every picture on the screen is there."""
    page.wait_for_function("""() => {
        const cards = [...document.querySelectorAll('.gallery li')].filter((c) => c.getBoundingClientRect().top < innerHeight);
        return cards.length && cards.every((c) => c.querySelector('img')?.complete);
    }""")
    rest(page)


def rest(page):
    """No field has the focus, and the form begins at its top."""
    page.evaluate("document.activeElement.blur(); document.querySelector('.fields').scrollTop = 0; scrollTo(0, 0)")
    page.mouse.move(1, 1)


def take(page, out, name):
    file = pathlib.Path(out, f"serve-{name}.png")
    page.screenshot(path=file)
    if file.stat().st_size > 200_000:
        raise SystemExit(f"{file} has {file.stat().st_size} bytes; 200,000 are allowed")
    print(file)


def main(out):
    server, browser = Server(), Browser()
    try:
        for i, words in enumerate(WORDS):
            server.make(prompt=words, seed=i, num_inference_steps=20)
        for scheme in ("light", "dark"):
            page = browser.page(server, color_scheme=scheme, viewport={"width": 1120, "height": 720})
            page.wait_for_selector("form.form")
            fill(page, prompt="a big red triangle on a white background", seed=3, num_inference_steps=300)
            page.click(".send .primary")
            page.wait_for_selector(".growing")
            fill(page, num_images=4)
            page.click(".send .primary")
            page.locator(".queue li").nth(1).wait_for()
            page.locator(".queue .name").first.click()
            page.wait_for_function("() => document.querySelector('.stage progress')?.value > 0.35 && document.querySelector('.growing')")
            settle(page)
            take(page, out, f"page-{scheme}")
            for run in server.value("/v1/runs?state=queued,running")["runs"]:
                server.cancel(run["id"])
            page.locator(".queue").wait_for(state="detached")
            page.locator("summary", has_text="Start from a picture").click()
            page.set_input_files("#start", {"name": "circle.png", "mimeType": "image/png", "buffer": png(128, 128, circle)})
            page.click("text=Paint a mask")
            box = page.locator("dialog canvas").bounding_box()
            for dx, dy in ((0.2, 0.2), (0.25, 0.75), (0.8, 0.3)):
                page.mouse.move(box["x"] + box["width"] * dx, box["y"] + box["height"] * dy)
                page.mouse.down()
                page.mouse.move(box["x"] + box["width"] * (dx - 0.05), box["y"] + box["height"] * (dy + 0.12), steps=6)
                page.mouse.up()
            take(page, out, f"brush-{scheme}")
            page.keyboard.press("Escape")
            for card in page.locator(".gallery li").all()[:2]:
                card.locator("button[title=Compare]").click()
            page.click(".gallery .title .primary")
            take(page, out, f"compare-{scheme}")
            page.context.close()
            phone = browser.page(server, color_scheme=scheme, viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
            phone.wait_for_selector("form.form")
            fill(phone, prompt="a green triangle on a white background")
            rest(phone)
            take(phone, out, f"phone-{scheme}")
            phone.context.close()
    finally:
        browser.close()
        server.close()


if __name__ == "__main__":
    main(sys.argv[1])
