#!/bin/sh
# Runs commands of daguerre that do not pull under strace, and fails if one opens a socket of the internet. Needs strace.
#
#	tools/offline.sh bin/daguerre
set -eu
daguerre=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export HF_HOME="$dir/hf" DAGUERRE_CACHE="$dir/cache" XDG_DATA_HOME="$dir/data" HF_TOKEN=x CIVITAI_TOKEN=x
unset HF_HUB_OFFLINE HF_HUB_CACHE || true
failed=0
n=0
try() {
	n=$((n + 1))
	strace -f -qq -e trace=socket,connect,sendto -o trace "$daguerre" "$@" >out 2>&1 </dev/null || true # what it answers does not matter here
	if grep -E 'AF_INET|AF_NETLINK' trace; then
		echo "WRONG: daguerre $* made a connection"
		failed=1
	fi
}
try generate --model nano --prompt "a red circle" --steps 1 -o a.png
try generate --model sdxl --prompt x -o b.png
try generate --model no/such-model --vae sdxl-vae-fp16-fix --prompt x --lora lcm-lora-sdxl:0.5 --control controlnet-canny=a.png -o c.png
try generate --model https://example.com/x.safetensors --prompt x -o d.png
try generate --model civitai:128078 --refiner sdxl-refiner --upscaler realesrgan-x4 --taesd taesdxl --prompt x -o e.png
try plan --model sdxl
try plan --model nano
try models list
try models list --known
try models verify
try models verify sdxl
try models rm sdxl
try models inspect no/such-model
try models inspect nano
try models convert sdxl x.gguf --type q8_0
try upscale a.png --model realesrgan-x4 -o f.png
try vae check sdxl-vae-fp16-fix
try lora inspect lcm-lora-sdxl
try lora fuse sdxl --lora lcm-lora-sdxl -o x.safetensors
try bench --model sdxl --rounds 1
try schedulers list
try request names
try devices
try doctor
try install --list
try version
printf '{"id":1,"type":"load","request":{"model":{"model":"sdxl"}}}\n' >in
strace -f -qq -e trace=socket,connect,sendto -o trace "$daguerre" worker >out 2>&1 <in || true # as above
if grep -E 'AF_INET|AF_NETLINK' trace; then
	echo "WRONG: daguerre worker made a connection"
	failed=1
fi
strace -f -qq -e trace=socket,connect,sendto -o trace env HF_ENDPOINT=http://127.0.0.1:1 "$daguerre" models pull sdxl >out 2>&1 || true # it must fail
grep -q AF_INET trace || { echo "WRONG: strace would not have seen it"; failed=1; }
[ $failed = 0 ] && echo "$((n + 1)) commands: none opened a socket of the internet"
exit $failed
