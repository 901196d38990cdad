"""A client of `daguerre worker` in plain Python 3.9+; see docs/worker.md.

    python3 examples/worker/client.py "a red circle on a blue background" out.png
"""

import itertools
import json
import queue
import subprocess
import sys
import threading


class WorkerError(Exception):
    """The last event of a request that failed."""

    def __init__(self, event):
        super().__init__(event["message"])
        self.code, self.fields = event["code"], event.get("fields", [])


class Worker:
    """Runs `daguerre worker --supervise`. Requests may be made from any thread."""

    def __init__(self, program="daguerre", *flags):
        self._process = subprocess.Popen([program, "worker", "--supervise", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         encoding="utf-8", bufsize=1)
        self._ids, self._lock, self._waiting = itertools.count(1), threading.Lock(), {}
        # Events are read all the time: a client that only writes would fill the pipes.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            event = json.loads(line)
            waiting = self._waiting.get(event["id"])
            if waiting is not None:
                waiting.put(event)
        for waiting in list(self._waiting.values()):
            waiting.put({"event": "error", "code": "worker_died", "message": "the worker has ended"})

    def send(self, kind, request=None, **envelope):
        """Sends a request and returns its id and an iterator over its events; the last one is "done", and an "error" is raised."""
        with self._lock:
            id = next(self._ids)
            self._waiting[id] = queue.Queue()
            self._process.stdin.write(json.dumps({"id": id, "type": kind, "request": request or {}, **envelope}) + "\n")
        return id, self._events(id)

    def _events(self, id):
        try:
            while True:
                event = self._waiting[id].get()
                if event["event"] == "error":
                    raise WorkerError(event)
                yield event
                if event["event"] == "done":
                    return
        finally:
            del self._waiting[id]

    def call(self, kind, request=None, **envelope):
        """Sends a request and returns its "done"."""
        return list(self.send(kind, request, **envelope)[1])[-1]

    def close(self):
        """Lets the worker finish what it has and waits for its end."""
        self._process.stdin.close()
        return self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main(prompt, output, program="daguerre"):
    with Worker(program) as worker:
        worker.call("load", {"model": "nano", "name": "demo"})
        _, events = worker.send("generate", {"model": "demo", "prompt": prompt, "seed": 42, "num_inference_steps": 20, "output": output})
        for event in events:
            if event["event"] == "progress":
                print(f"{event['stage']} {event['step']}/{event['steps']}", file=sys.stderr)
            elif event["event"] == "image":
                print(event["path"])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except WorkerError as error:
        sys.exit(f"{error.code}: {error}" + "".join(f"\n  {f['path']}: {f['message']}" for f in error.fields))
