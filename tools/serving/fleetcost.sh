#!/bin/bash
# What a picture costs in a fleet of examples/fleet, in CPU time, beside generate: runs of eight pictures of nano. The environment is that of
# fleet.sh; RUNS says how many runs. The model's loading is part of generate's time, and not of the workers'.
set -euo pipefail
runs=${RUNS:-30}
FLEET_DIR=$(mktemp -d)
export FLEET_DIR FLEET_PORT="${FLEET_PORT:-15300}" DAGUERRE="${DAGUERRE:-bin/daguerre}"
api=http://127.0.0.1:$((FLEET_PORT + 10))
trap 'sh examples/fleet/fleet.sh down; rm -r "$FLEET_DIR"' EXIT

# cpu NAME...: the CPU time of processes so far, in hundredths of a second.
cpu() { for name in "$@"; do cut -d' ' -f14,15 "/proc/$(cat "$FLEET_DIR/$name.pid")/stat"; done | awk '{ n += $1 + $2 } END { print n }'; }

# make_runs COUNT SEED: submits runs, and waits until all have ended.
make_runs() {
	for i in $(seq "$1"); do
		curl -fsS -o /dev/null -H 'Content-Type: application/json' "$api/v1/runs" \
			-d "{\"prompt\": \"a red circle\", \"seed\": $((100 * i + $2)), \"num_images\": 8}"
	done
	until curl -fsS "$api/metrics" | grep -q '^daguerre_queue_images 0$'; do sleep 1; done
}

run=$FLEET_DIR/run.toml
printf 'model = "nano"\nnum_images = 8\nprompt = "a red circle"\noutput = "%s/p-{job}-{index}.png"\n' "$FLEET_DIR" >"$run"
for i in $(seq "$runs"); do printf '[[job]]\nseed = %d\n' $((100 * i)) >>"$run"; done
echo "generate, $((8 * runs)) pictures:"
time -p "$DAGUERRE" generate --no-config -c "$run" --json >/dev/null

sh examples/fleet/fleet.sh up
until curl -fsS "$api/v1/catalog/models" | grep -q nano; do sleep 1; done # a worker is there
make_runs 6 500000 # the workers load the model
workers=$(cpu worker0 worker1 worker2) nats=$(cpu nats0 nats1 nats2) nodes=$(cpu api0 api1) s3=$(cpu s3)
make_runs "$runs" 7
echo "the fleet, $((8 * runs)) pictures, CPU time in hundredths of a second:"
echo "workers $(($(cpu worker0 worker1 worker2) - workers)), NATS servers $(($(cpu nats0 nats1 nats2) - nats))," \
	"API nodes $(($(cpu api0 api1) - nodes)), S3 server $(($(cpu s3) - s3))"
