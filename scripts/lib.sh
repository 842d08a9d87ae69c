# shellcheck shell=bash
# Functions that several scripts share. Sourced from the root of the checkout.

# Tools are installed once into this folder, beside the build of .ci/run.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/avalon-wx

# python_tools NAME REQUIREMENT…: prints the bin folder of a virtual environment with these packages.
# Creates it when it is missing or was created for other requirements.
python_tools() {
    local venv=$CACHE/$1 requirements
    shift
    requirements=$(printf '%s\n' "$@")
    if [[ $(cat -- "$venv/installed" 2>/dev/null) != "$requirements" ]]; then
        rm -rf -- "$venv"
        python3 -m venv -- "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
        printf '%s\n' "$requirements" >"$venv/installed"
    fi
    echo "$venv/bin"
}

# node_tools NAME PACKAGE…: prints a folder whose node_modules has these packages, installing them like python_tools.
node_tools() {
    local folder=$CACHE/$1 requirements
    shift
    requirements=$(printf '%s\n' "$@")
    if [[ $(cat -- "$folder/installed" 2>/dev/null) != "$requirements" ]]; then
        rm -rf -- "$folder"
        mkdir -p -- "$folder"
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" "$@" >&2
        printf '%s\n' "$requirements" >"$folder/installed"
    fi
    echo "$folder"
}

# cargo_tool NAME VERSION [PROGRAM]: prints the path of a program from crates.io, building it on first use.
cargo_tool() {
    local root=$CACHE/$1-$2 program=${3:-$1}
    if [[ ! -x $root/bin/$program ]]; then
        echo "Building $1 $2, once" >&2
        cargo install --quiet --locked --version "$2" --root "$root" --target-dir "$root/build" "$1" >&2
        rm -rf -- "$root/build"
    fi
    echo "$root/bin/$program"
}

# rustup adds its folder to PATH only at the next login.
find_cargo() {
    command -v cargo >/dev/null || PATH=~/.cargo/bin:$PATH
}

# Prints a free port below the range of ephemeral ports.
free_port() {
    local port
    while port=$((RANDOM % 20000 + 10000)); (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}
