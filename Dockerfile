# syntax=docker/dockerfile:1
# The one binary, in an image without shell or package manager. Every role is an argument:
#   docker run avalon-wx api | workers --queues login | migrate | simulator | …

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Told by `avalon_build_info`, so that two builds of one version are not taken for the same.
ARG REVISION=unknown
ENV AVALON_REVISION=$REVISION
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist -p avalon && cp target/dist/avalon /avalon

# Has glibc, libgcc and the certificate authorities, and runs as user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /avalon /usr/local/bin/avalon
# In a container the loopback is of no use to others. The operators' port stays inside the network.
ENV AVALON_HTTP__LISTEN=0.0.0.0:8080 \
    AVALON_OPS__LISTEN=0.0.0.0:8081 \
    AVALON_SIMULATOR__LISTEN=0.0.0.0:8090
EXPOSE 8080 8081
# Ready, not merely alive. For `simulator` and for roles that end, say otherwise.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/avalon", "healthcheck"]
# An orderly stop takes 40 seconds at most: docker stop --time 45.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/avalon"]
CMD ["--help"]
