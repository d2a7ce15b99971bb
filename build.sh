#!/bin/sh
# Sets up everything in a virtual environment below the checkout (nothing system-wide), then does what it is asked.
#
#   ./build.sh demo     build the runtime, pack the demonstration model into dist/chat.exe and open it
#   ./build.sh test     set up and run the tests (arguments go to pytest)
#   ./build.sh          set up only; .venv/bin/packer is ready afterwards
set -eu
cd "$(dirname "$0")"

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 2
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer was not found; install it, or name it with PYTHON=/path/to/python3 ./build.sh"
}

# install LOCK: put exactly what a lock file says into .venv, unless that was done before.
install() {
    stamp=".venv/installed-$(basename "$1")"
    [ "$(cat "$stamp" 2>/dev/null)" = "$(cksum <"$1")" ] && return
    echo "installing the Python packages of $1 into .venv"
    .venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --only-binary=:all: \
        --require-hashes -r "$1"
    cksum <"$1" >"$stamp"
}

make_environment() {
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -rf .venv
        python=$(find_python)
        "$python" -m venv .venv >/dev/null 2>&1 || {
            rm -rf .venv
            fail "$python can't make a virtual environment; on Debian and Ubuntu: sudo apt install python3-venv"
        }
        printf '%s\n' "$PWD" >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packer.pth"
        printf '#!/bin/sh\nexec "%s/.venv/bin/python" -m packer "$@"\n' "$PWD" >.venv/bin/packer
        chmod +x .venv/bin/packer
    fi
    install packer/locks/packer.txt
}

task=${1:-setup}
[ $# -eq 0 ] || shift
case $task in
setup)
    make_environment
    echo "ready: .venv/bin/packer build model.gguf -o chat"
    ;;
demo)
    make_environment
    mkdir -p dist
    .venv/bin/packer build demo -o dist/chat.exe
    exec dist/chat.exe "$@"
    ;;
test)
    make_environment
    install packer/locks/tests.txt
    exec .venv/bin/python -m pytest "$@"
    ;;
*)
    fail "unknown task '$task'; expected demo, test or nothing"
    ;;
esac
