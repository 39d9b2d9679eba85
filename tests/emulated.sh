#!/usr/bin/env bash
# Runs `atrous verify ARGUMENTS...` as another processor would: usage emulated.sh FOLDER CPU ARGUMENTS...
# CPU is aarch64, or an x86-64 one by qemu's name for it (Nehalem has SSE4.2, Haswell AVX2). For aarch64 the extension is
# cross-compiled, for a CPython from Debian's packages and NumPy's wheel; all that stays in FOLDER, and is used again
# there. It needs qemu-user-static and, for aarch64, g++-aarch64-linux-gnu, apt, cmake, ninja and pybind11.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd) cpu=$2
shift 2
source=$(cd "$(dirname "$0")/.." && pwd)

if [ "$cpu" != aarch64 ]; then
  exec qemu-x86_64-static -cpu "$cpu" "$(command -v python)" -m atrous verify "$@"
fi

# An apt of its own, which takes nothing for installed and changes nothing of the system's.
apt=(-qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User="$(id -un)"
  -o Dir::State="$folder/apt" -o Dir::State::status=/dev/null -o Dir::Cache="$folder/apt")
root=$folder/root site=$folder/site
if [ ! -d "$site" ]; then
  mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial" "$root"
  apt-get "${apt[@]}" update
  python=$(apt-cache "${apt[@]}" depends python3 | sed -n 's/^ *Depends: \(python3\.[0-9]*\)$/\1/p')
  apt-get "${apt[@]}" install -y --download-only --no-install-recommends "$python-minimal" "lib$python-dev" libstdc++6
  for package in "$folder"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  python -m pip install -q --no-deps --only-binary=:all: --target "$site" --python-version "${python#python}" \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    numpy safetensors
fi
python=$(basename "$root"/usr/include/python3.*)

cmake -DATROUS_CUDA=OFF -S "$source" -B "$folder/build" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_CXX_FLAGS="-idirafter $root/usr/include" -DATROUS_WERROR=ON \
  -DSKBUILD=ON -DPython_EXECUTABLE="$(command -v python)" -DPython_INCLUDE_DIR="$root/usr/include/$python" \
  -DPYTHON_MODULE_EXTENSION=.so >"$folder/build.log"
cmake --build "$folder/build" >>"$folder/build.log" || { cat "$folder/build.log"; exit 1; }
mkdir -p "$folder/package"
cp -r "$source/python/atrous" "$folder/package/"
rm -f "$folder"/package/atrous/_cpu*.so
cp "$folder/build/_cpu.so" "$folder/package/atrous/"
exec qemu-aarch64-static -L "$root" -E PYTHONPATH="$folder/package:$site" "$root/usr/bin/$python" -m atrous verify "$@"
