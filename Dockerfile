# syntax=docker/dockerfile:1
# The `avalon` binary in an image without shell or package manager. Every role is an argument:
#   docker run avalon-wx api | workers --queues login | migrate | simulator | …

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Reported by `avalon_build_info`, which distinguishes builds of the same version.
ARG REVISION=unknown
ENV AVALON_REVISION=$REVISION
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist -p avalon && cp target/dist/avalon /avalon

# Contains glibc, libgcc and the CA certificates; runs as user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /avalon /usr/local/bin/avalon
# Loopback is unreachable from outside the container. Never publish the ops port, 8081.
ENV AVALON_HTTP__LISTEN=0.0.0.0:8080 \
    AVALON_OPS__LISTEN=0.0.0.0:8081 \
    AVALON_SIMULATOR__LISTEN=0.0.0.0:8090
EXPOSE 8080 8081
# Readiness, not liveness. Override it for `simulator` and for commands that exit.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/avalon", "healthcheck"]
# A graceful shutdown takes at most 40 s: docker stop --time 45.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/avalon"]
CMD ["--help"]
