#!/bin/sh
# A whole fleet on this machine, in plain processes: three NATS servers in a cluster, an S3 server, two API nodes and three workers.
#
#   sh examples/fleet/fleet.sh up          starts everything, and prints the addresses
#   sh examples/fleet/fleet.sh status      daguerre fleet status
#   sh examples/fleet/fleet.sh down        ends everything; nothing is deleted
#   sh examples/fleet/fleet.sh run NAME    runs one process in the foreground: nats0-2, s3, api0-1, worker0-2
#
# The environment chooses:
#   FLEET_DIR     folder of all files and logs       (./fleet-data)
#   FLEET_PORT    first of 12 ports                  (4300)
#   DAGUERRE      the program                        (bin/daguerre)
#   NATS_SERVER   nats-server, 2.12 or newer         (nats-server)
#   S3_SERVER     a server for S3 that takes -H HOST -p PORT, such as moto_server of the Python package moto[server]
#   NATS, STORE   what --nats and --store say, where it is not what this script starts
#   SERVE_ARGS    more flags of daguerre serve; WORK_ARGS of daguerre work
set -eu

dir=${FLEET_DIR:-$PWD/fleet-data}
port=${FLEET_PORT:-4300}
program=${DAGUERRE:-bin/daguerre}
host=127.0.0.1
address() { echo "$host:$((port + $1))"; }
s3=http://$(address 9)
nats=${NATS:-nats://$(address 0),nats://$(address 1),nats://$(address 2)}
store=${STORE:-"s3://pictures?region=us-east-1&use_path_style=true&disable_https=true&endpoint=$s3"}
names="nats0 nats1 nats2 s3 api0 api1 worker0 worker1 worker2"
export AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:-example}" AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:-example}"

# nats I: the configuration of a NATS server, as docs/fleet.md has it.
nats() {
	cat >"$dir/nats$1.conf" <<-END
		server_name: n$1
		listen: "$(address "$1")"
		http: "$(address $((6 + $1)))"
		max_payload: 8MB
		jetstream { store_dir: "$dir/nats$1", sync_interval: always }
		cluster {
		  name: fleet, listen: "$(address $((3 + $1)))", no_advertise: true
		  routes: [nats://$(address 3), nats://$(address 4), nats://$(address 5)]
		}
	END
	exec "${NATS_SERVER:-nats-server}" -c "$dir/nats$1.conf"
}

run() {
	number=${1#"${1%?}"}
	case $1 in
	nats[012]) nats "$number" ;;
	s3) exec "${S3_SERVER:-moto_server}" -H $host -p $((port + 9)) ;;
	# shellcheck disable=SC2086 # flags
	api[01]) exec "$program" serve --api-only --addr "$(address $((10 + number)))" --data "$dir/$1" --nats "$nats" --store "$store" ${SERVE_ARGS-} ;;
	# shellcheck disable=SC2086 # flags
	worker[012]) exec "$program" work --nats "$nats" --store "$store" ${WORK_ARGS-} ;;
	*) echo "fleet.sh: there is no process $1; there are $names" >&2 && exit 2 ;;
	esac
}

# bucket makes the bucket, as soon as the S3 server answers.
bucket() {
	key="Authorization: AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/20260101/us-east-1/s3/aws4_request"
	until curl -fsS -o /dev/null -X PUT -H "$key" "$s3/pictures" 2>/dev/null; do sleep 0.2; done
}

up() {
	for name in $names; do
		case $name in
		s3 | api0) [ -z "${STORE-}" ] || [ "$name" != s3 ] || continue ;;
		esac
		[ "$name" != api0 ] || [ -n "${STORE-}" ] || bucket
		sh "$0" run "$name" >>"$dir/$name.log" 2>&1 &
		echo $! >"$dir/$name.pid"
	done
	for i in 0 1; do
		until curl -fsS -o /dev/null "http://$(address $((10 + i)))/readyz" 2>/dev/null; do
			kill -0 "$(cat "$dir/api$i.pid")" || { echo "fleet.sh: api$i has ended: $dir/api$i.log" >&2 && exit 1; }
			sleep 0.5
		done
		echo "ready: http://$(address $((10 + i)))"
	done
	echo "logs: $dir; NATS: $nats"
}

# down ends workers first: they finish what they have begun with.
down() {
	for name in worker0 worker1 worker2 api0 api1 s3 nats0 nats1 nats2; do
		[ -f "$dir/$name.pid" ] || continue
		pid=$(cat "$dir/$name.pid")
		kill "$pid" 2>/dev/null || true # it may have ended
		while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
		rm "$dir/$name.pid"
	done
}

mkdir -p "$dir"
case ${1-} in
up | down) "$1" ;;
status) exec "$program" fleet status --nats "$nats" ;;
run) run "${2-}" ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" && exit 2 ;;
esac
