#!/usr/bin/env bash
# Puts a CUDA compiler into build/tools/cuda from NVIDIA's wheels: enough to compile the CUDA
# variant, on a machine without root, toolkit or GPU. Prints what to set; use it as
#
#     eval "$(tools/cuda-toolchain.sh)" && DAGUERRE_CUDA_ARCH=80 make cuda
#
# 13.0 and no newer: the CCCL of 13.5 lacks what the engine's top-k.cu uses. The wheels take 1.5 GB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
series=13.0
dir=$PWD/build/tools/cuda

if [ ! -f "$dir/.complete" ]; then
    rm -rf "$dir"
    python3 -m venv "$dir" >&2
    "$dir/bin/pip" install --quiet --disable-pip-version-check \
        "nvidia-cuda-nvcc==$series.*" "nvidia-nvvm==$series.*" "nvidia-cuda-crt==$series.*" \
        "nvidia-cuda-cccl==$series.*" "nvidia-cuda-runtime==$series.*" "nvidia-cublas==$series.*" >&2
    touch "$dir/.complete"
fi
home=$(find "$dir"/lib -type d -path '*/nvidia/cu13' | head -n 1)
[ -x "$home/bin/nvcc" ] || {
    echo "cuda-toolchain: no nvcc under $dir; remove that folder and try again" >&2
    exit 1
}

# Wheels carry versioned libraries only, and CMake looks for lib64 and the plain names.
[ -e "$home/lib64" ] || ln -s lib "$home/lib64"
for versioned in "$home"/lib/lib{cudart,cublas,cublasLt}.so.*; do
    plain=${versioned%%.so.*}.so
    [ -e "$plain" ] || ln -s "$(basename "$versioned")" "$plain"
done
printf 'export CUDACXX=%q CUDAToolkit_ROOT=%q\n' "$home/bin/nvcc" "$home"
