#!/bin/bash
# What a picture costs in a fleet of examples/fleet, in CPU time, beside generate: runs of eight pictures of nano in batches of eight. The
# environment is that of fleet.sh, so that STORE may name a folder instead of the S3 server of tests. RUNS says how many runs are counted.
# The three workers and generate compute at the same time on the same cores, with one thread each, as nano has: what else the machine does
# meets all of them. More runs wait than are counted, so that no worker is idle and no run is divided among them. Starts and the loading of
# the model count on neither side. What the servers need while nothing happens is measured first.
set -euo pipefail
runs=${RUNS:-100}
FLEET_DIR=$(mktemp -d)
export FLEET_DIR FLEET_PORT="${FLEET_PORT:-15300}" DAGUERRE="${DAGUERRE:-bin/daguerre}"
api=http://127.0.0.1:$((FLEET_PORT + 10))
trap 'kill -9 "$(cat "$FLEET_DIR/alone.pid")" 2>/dev/null || true; sh examples/fleet/fleet.sh down; rm -r "$FLEET_DIR"' EXIT

# cpu NAME...: the CPU time of processes so far, in hundredths of a second.
cpu() {
	for name in "$@"; do
		[ ! -f "$FLEET_DIR/$name.pid" ] || cut -d' ' -f14,15 "/proc/$(cat "$FLEET_DIR/$name.pid")/stat"
	done | awk '{ n += $1 + $2 } END { print n + 0 }'
}

# left: how many pictures of the fleet are not made yet.
left() { curl -fsS "$api/metrics" | awk '$1 == "daguerre_queue_images" { print $2 }'; }

# wait_for PICTURES: until no more than so many are left.
wait_for() { until [ "$(left)" -le "$1" ]; do sleep 0.5; done; }

# made: how many pictures generate has made.
made() { find "$FLEET_DIR/alone" -name '*.png' | wc -l; }

# next: waits until generate has made a picture more, and with it its batch.
next() {
	local before
	before=$(made)
	until [ "$(made)" -gt "$before" ]; do
		kill -0 "$(cat "$FLEET_DIR/alone.pid")" # it has runs left
		sleep 0.05
	done
	sleep 0.2
}

sh examples/fleet/fleet.sh up
until curl -fsS "$api/v1/catalog/models" | awk '/nano/ { found = 1 } END { exit !found }'; do sleep 1; done # a worker is there
servers() { cpu nats0 nats1 nats2 api0 api1 s3; }
idle=$(servers)
sleep 20
idle=$(($(servers) - idle))
ahead=9 # runs that are made before the count begins, and that wait when it ends
for i in $(seq $((runs + 2 * ahead))); do
	curl -fsS -o /dev/null -H 'Content-Type: application/json' "$api/v1/runs" \
		-d "{\"prompt\": \"a red circle\", \"seed\": $((100 * i)), \"num_images\": 8, \"max_batch\": 8}"
done
mkdir "$FLEET_DIR/alone"
printf 'model = "nano"\nnum_images = 8\nmax_batch = 8\nprompt = "a red circle"\noutput = "%s/alone/{job}-{index}.png"\n' "$FLEET_DIR" \
	>"$FLEET_DIR/run.toml"
for i in $(seq "$runs"); do printf '[[job]]\nseed = %d\n' $((100 * i)) >>"$FLEET_DIR/run.toml"; done
"$DAGUERRE" generate --no-config -c "$FLEET_DIR/run.toml" --json >"$FLEET_DIR/alone.log" 2>&1 &
echo $! >"$FLEET_DIR/alone.pid"

wait_for $((8 * (runs + ahead)))
next
counts() { echo "$(made) $(cpu alone) $(left) $(cpu worker0 worker1 worker2) $(cpu nats0 nats1 nats2) $(cpu api0 api1) $(cpu s3)"; }
begin=$(counts) second=$SECONDS
wait_for $((8 * ahead))
next
echo "$begin $(counts)" | awk -v idle="$idle" -v seconds=$((SECONDS - second)) '{
	alone = 10 * ($9 - $2) / ($8 - $1); n = $3 - $10; all = 10 * ($11 + $12 + $13 + $14 - $4 - $5 - $6 - $7)
	printf "generate: %d pictures, %.1f ms of CPU time each\n", $8 - $1, alone
	printf "the fleet: %d pictures; ms each: workers %.1f, NATS servers %.1f, API nodes %.1f, S3 server %.1f\n", n, 10 * ($11 - $4) / n,
		10 * ($12 - $5) / n, 10 * ($13 - $6) / n, 10 * ($14 - $7) / n
	printf "of that, servers that do nothing: %.1f ms (%.1f %% of a core)\n", 10 * idle / 20 * seconds / n, idle / 20
	printf "the fleet makes %.3f of the pictures per CPU second that generate makes\n", alone * n / all
}'
