#!/bin/bash
# What a picture costs in a fleet of examples/fleet, in CPU time, beside generate: runs of eight pictures of nano in batches of eight, in
# turns. The environment is that of fleet.sh, so that STORE may name a folder instead of the S3 server of tests. RUNS says how many runs a
# turn has, ROUNDS how many turns there are. Starts and the loading of the model count on neither side:
# generate's time is that of RUNS + 1 runs, less that of one. All processes are on one core, with one thread each: threads of several
# workers on the same cores would wait for each other, which workers on machines of their own do not.
set -euo pipefail
runs=${RUNS:-30} rounds=${ROUNDS:-3}
FLEET_DIR=$(mktemp -d)
export FLEET_DIR FLEET_PORT="${FLEET_PORT:-15300}" DAGUERRE="${DAGUERRE:-bin/daguerre}"
taskset -pc 0 $$ >/dev/null
api=http://127.0.0.1:$((FLEET_PORT + 10))
trap 'sh examples/fleet/fleet.sh down; rm -r "$FLEET_DIR"' EXIT

# cpu NAME...: the CPU time of processes so far, in hundredths of a second.
cpu() {
	for name in "$@"; do
		[ ! -f "$FLEET_DIR/$name.pid" ] || cut -d' ' -f14,15 "/proc/$(cat "$FLEET_DIR/$name.pid")/stat"
	done | awk '{ n += $1 + $2 } END { print n + 0 }'
}

# make_runs COUNT SEED: submits runs, and waits until all have ended.
make_runs() {
	for i in $(seq "$1"); do
		curl -fsS -o /dev/null -H 'Content-Type: application/json' "$api/v1/runs" \
			-d "{\"prompt\": \"a red circle\", \"seed\": $((100 * i + $2)), \"num_images\": 8, \"max_batch\": 8}"
	done
	until [ "$(curl -fsS "$api/metrics" | awk '$1 == "daguerre_queue_images" { print $2 }')" = 0 ]; do sleep 1; done
}

# generate COUNT: the CPU time of a process that makes so many runs, in hundredths of a second.
generate() {
	local run=$FLEET_DIR/run.toml
	printf 'model = "nano"\nnum_images = 8\nmax_batch = 8\nprompt = "a red circle"\noutput = "%s/p-{job}-{index}.png"\n' "$FLEET_DIR" >"$run"
	for i in $(seq "$1"); do printf '[[job]]\nseed = %d\n' $((100 * i)) >>"$run"; done
	{ TIMEFORMAT='%U %S'; time "$DAGUERRE" generate --no-config -c "$run" --json >/dev/null 2>&1; } 2>&1 |
		awk '{ printf "%.0f\n", 100 * ($1 + $2) }'
}

# median: of the numbers that come in, one a line.
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

sh examples/fleet/fleet.sh up
until curl -fsS "$api/v1/catalog/models" | awk '/nano/ { found = 1 } END { exit !found }'; do sleep 1; done # a worker is there
make_runs 6 500000 # the workers load the model
alone=() fleet=()
for round in $(seq "$rounds"); do
	one=$(generate 1) more=$(generate $((runs + 1)))
	workers=$(cpu worker0 worker1 worker2) nats=$(cpu nats0 nats1 nats2) nodes=$(cpu api0 api1) s3=$(cpu s3)
	make_runs "$runs" $((round * 10000 + 7))
	workers=$(($(cpu worker0 worker1 worker2) - workers)) nats=$(($(cpu nats0 nats1 nats2) - nats))
	nodes=$(($(cpu api0 api1) - nodes)) s3=$(($(cpu s3) - s3))
	alone+=($((more - one))) fleet+=($((workers + nats + nodes + s3)))
	echo "round $round, $((8 * runs)) pictures, hundredths of a second of CPU time: generate $((more - one));" \
		"fleet ${fleet[-1]}: workers $workers, NATS servers $nats, API nodes $nodes, S3 server $s3"
done
printf '%s\n' "${alone[@]}" | median >"$FLEET_DIR/alone"
printf '%s\n' "${fleet[@]}" | median |
	awk -v alone="$(cat "$FLEET_DIR/alone")" \
		'{ printf "the fleet makes %.3f of the pictures per CPU second that generate makes (medians)\n", alone / $1 }'
