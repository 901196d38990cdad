"""nats-py, looking at what daguerre serve keeps: python nats_client.py URL RUNS."""

import asyncio
import json
import sys

import nats


async def main(url, runs):
    nc = await nats.connect(url)
    js = nc.jetstream()
    streams = {s.config.name: s.state for s in await js.streams_info()}
    assert {"DAGUERRE_WORK", "DAGUERRE_EVENTS", "DAGUERRE_DEAD", "KV_daguerre_runs"} <= set(streams), streams
    assert streams["DAGUERRE_WORK"].messages == 0 and streams["DAGUERRE_DEAD"].messages == 0, streams
    assert streams["DAGUERRE_EVENTS"].messages >= 4 * runs, streams  # started, two pictures, done
    kv = await js.key_value("daguerre_runs")
    keys = await kv.keys()
    assert len(keys) == runs, keys
    for key in keys:
        record = json.loads((await kv.get(key)).value)
        assert record["state"] == "done" and record["made"] == 2 and key == f"clients.{record['id']}", record
    await nc.close()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
