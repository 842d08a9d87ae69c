# Shortcuts for https://just.systems. Every recipe is a command that also works without just.

target := env("CARGO_TARGET_DIR", "target")

# Lists the recipes
default:
    @just --list

# Starts everything in one process, with the WeChat simulator
dev:
    cargo run --release -- dev

# Runs all checks and tests, or only the tests whose name contains NAME
test *NAME:
    scripts/test {{ NAME }}

# Runs all checks except the tests
check: style clippy docs

# Checks format, words, spelling, shell scripts and unused dependencies
style:
    cargo fmt --all --check
    scripts/check-words
    scripts/check-typos
    scripts/check-shell
    scripts/check-unused

# Formats the code
fmt:
    cargo fmt --all

# Runs Clippy; warnings are errors
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# Builds the API documentation of all crates, private items included
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

# Regenerates docs/openapi.json
openapi:
    cargo run --quiet -- openapi > docs/openapi.json.new
    mv docs/openapi.json.new docs/openapi.json

# Sends generated requests to every route
schema *ARGS:
    cargo build
    scripts/check-schema {{ ARGS }}

# Runs public clients against the service and the simulator
clients:
    cargo build
    scripts/check-clients

# Builds and tests the mini-game SDK
sdk:
    scripts/check-sdk

# Validates the Compose file and the Kubernetes manifests
deploy:
    cargo build
    scripts/check-deploy {{ target }}/debug/avalon

# Runs a benchmark, such as `just bench login`
bench *ARGS:
    cargo build --release -p avalon -p avalon-bench
    {{ target }}/release/avalon-bench {{ ARGS }}

# Compares the service with a NestJS peer and a floor, such as `just compare --quick`
compare *ARGS:
    scripts/bench {{ ARGS }}

# Draws flame graphs of API and worker, such as `just profile --only get-order`
profile *ARGS:
    scripts/profile {{ ARGS }}

# Makes alerts fire and resolve by real faults: all drills or the one named
drill *NAME:
    scripts/alert-drill {{ NAME }}

# Breaks a running service at random: `just chaos --minutes 30 --seed 7`
chaos *ARGS:
    scripts/chaos {{ ARGS }}

# Runs the fuzz targets: `just fuzz [SECONDS [NAME…]]`
fuzz *ARGS:
    scripts/fuzz {{ ARGS }}

# Checks advisories, licences and sources of dependencies; needs cargo-deny
deny:
    cargo deny check
