"""What the tests of the page and its screenshots share: a server on the nano model, and a browser that is watched."""

import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import urllib.error
import urllib.request
import zlib

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("DAGUERRE", str(ROOT / "bin" / "daguerre"))
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
WAIT = int(os.environ.get("PAGE_WAIT", "120")) * 1000  # ms; the machine may be busy

# While the page is being written, its files can be taken from here instead of from the program.
FILES = os.environ.get("PAGE_FILES", "")


class Server:
    """A server in a folder of its own, with nano's adapters and its ControlNet."""

    def __init__(self, *flags):
        self.dir = tempfile.mkdtemp(prefix="daguerre-page-")
        for kind, pattern in {"loras": "nano-lora-*.safetensors", "nets": "nano-controlnet-*.safetensors"}.items():
            os.mkdir(f"{self.dir}/{kind}")
            for file in (ROOT / "models" / "nano").glob(pattern):
                shutil.copy(file, f"{self.dir}/{kind}")
        env = {**os.environ, "DAGUERRE_LIBRARY": os.environ.get("DAGUERRE_LIBRARY", str(ROOT / "build" / "cpu"))}
        self.log = open(f"{self.dir}/log", "w", encoding="utf-8")
        command = [PROGRAM, "serve", "--addr", "127.0.0.1:0", "--json", "--data", f"{self.dir}/data", "--lora-dir", f"{self.dir}/loras",
                   "--controlnet-dir", f"{self.dir}/nets", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the server did not start: " + pathlib.Path(self.dir, "log").read_text(encoding="utf-8"))
        self.url = json.loads(line)["url"]

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.read()

    def value(self, path):
        return json.loads(self.get(path))

    def make(self, **run):
        """Has the server make a run, and returns it when it has ended."""
        body = json.dumps(run).encode()
        request = urllib.request.Request(self.url + "/v1/runs", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            run_id = json.load(answer)["id"]
        self.get(f"/v1/runs/{run_id}/events")  # its end is the run's
        return self.value(f"/v1/runs/{run_id}")

    def cancel(self, run_id):
        request = urllib.request.Request(f"{self.url}/v1/runs/{run_id}/cancel", b"", method="POST")
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError as err:
            if err.code != 409:  # it has ended
                raise

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.dir)


class Browser:
    """Chromium. Every page is watched: what goes wrong on it, and what it asks of other hosts, is in faults."""

    def __init__(self):
        self.playwright = sync_playwright().start()
        self.chromium = self.playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

    def page(self, server, expected=(), **options):
        """Opens a page. expected are parts of messages that a test means to cause."""
        context = self.chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce", **options})
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.faults = []

        def fault(text):
            if not any(e in text for e in expected):
                page.faults.append(text)

        page.on("console", lambda m: fault(f"console: {m.text}") if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: fault(f"error: {e}"))
        page.on("request", lambda r: fault(f"another host: {r.url}")
                if not r.url.startswith((server.url + "/", "blob:" + server.url, "data:")) else None)
        if FILES:
            page.route(re.compile(r"^http://[^/]+/(page/.*)?$"), take_from_disk)
        page.goto(server.url + "/")
        return page

    def close(self):
        self.chromium.close()
        self.playwright.stop()


def take_from_disk(route):
    types = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    file = pathlib.Path(FILES, route.request.url.split("/", 3)[3].removeprefix("page/") or "index.html")
    source = pathlib.Path(FILES).parent.joinpath("webpage.go").read_text(encoding="utf-8")
    policy = "".join(re.findall(r'"(.*?)"', re.search(r"policy = (.*?)\n\n", source, re.S).group(1)))
    route.fulfill(body=file.read_bytes(), content_type=types[file.suffix], headers={"Content-Security-Policy": policy})


def png(width, height, colour, texts=()):
    """A PNG file: colour(x, y) is a pixel, texts are (keyword, text) that become tEXt chunks."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in colour(x, y)) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            b"".join(chunk(b"tEXt", k.encode() + b"\0" + t.encode("latin-1")) for k, t in texts) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def circle(x, y):
    """A red circle on a blue background, 128 x 128."""
    return (220, 30, 30) if (x - 64) ** 2 + (y - 64) ** 2 < 34 ** 2 else (30, 60, 210)
