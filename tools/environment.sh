#!/bin/sh
# Make or refresh the Python environment: everything in requirements.lock, then AstrID itself.
#
#   tools/environment.sh FOLDER [PYTHON]
#
# With uv where it is present, else with venv and pip. An environment that stands is reused, unless
# it belongs to another folder or to another Python than the one asked for.
set -eu

venv=$1
asked=${2:-}
root=$(pwd)
stamp=$venv/.astrid-installed
minor='import sys; print("%d.%d" % sys.version_info[:2])'

fail() {
    echo "AstrID: $1" >&2
    exit 1
}

version_of() { # the minor version of an interpreter, empty where it does not run
    "$1" -c "$minor" 2>/dev/null || true
}

is_supported() {
    case $1 in 3.11 | 3.12 | 3.13) return 0 ;; *) return 1 ;; esac
}

find_python() {
    if [ -n "$asked" ]; then
        version=$(version_of "$asked")
        is_supported "$version" || fail "PYTHON=$asked is ${version:-not a Python that runs}; AstrID needs Python 3.11, 3.12 or 3.13. Name another one: make PYTHON=/path/to/python3.11 …"
        echo "$asked"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13; do
        if is_supported "$(version_of "$candidate")"; then
            command -v "$candidate"
            return
        fi
    done
    version=$(version_of python3)
    if command -v uv >/dev/null 2>&1; then
        echo "AstrID: python3 is ${version:-not here}; asking uv for Python 3.11." >&2
        echo 3.11
        return
    fi
    fail "python3 is ${version:-not here}; AstrID needs Python 3.11, 3.12 or 3.13. Install one, or uv, or name one: make PYTHON=/path/to/python3.11 …"
}

has_uv() {
    command -v uv >/dev/null 2>&1
}

# An environment that was left half made, moved with its folder or made for another Python goes.
present=$(version_of "$venv/bin/python")
if [ -e "$venv" ]; then
    reason=
    if ! is_supported "$present"; then
        reason="its Python is ${present:-gone}"
    elif [ -n "$asked" ] && [ "$(version_of "$asked")" != "$present" ]; then
        find_python >/dev/null
        reason="it is for Python $present"
    elif [ -e "$stamp" ] && [ "$(head -n 1 "$stamp")" != "$root" ]; then
        reason="it was made for $(head -n 1 "$stamp")"
    fi
    if [ -n "$reason" ]; then
        [ -e "$venv/pyvenv.cfg" ] || fail "$venv is there and is no Python environment; move it away or set VENV"
        echo "AstrID: making $venv anew: $reason."
        rm -rf "$venv"
    fi
fi
rm -f "$stamp"

if [ ! -e "$venv/bin/python" ]; then
    python=$(find_python)
    echo "AstrID: making the environment in $venv (some 3.5 GB; a few minutes on a first download) …"
    if has_uv; then
        uv venv --quiet --python "$python" "$venv"
    else
        "$python" -m venv "$venv" || fail "'$python -m venv' failed: install the venv module of your Python (Debian: python3-venv), or uv"
    fi
fi

if has_uv; then
    uv pip sync --quiet --python "$venv/bin/python" --require-hashes requirements.lock
    uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
else
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip
    pip="$venv/bin/python -m pip --disable-pip-version-check --no-input install --progress-bar off --quiet"
    $pip --require-hashes -r requirements.lock
    $pip --no-deps --no-build-isolation -e .
fi

printf '%s\n%s\n' "$root" "$asked" >"$stamp"
