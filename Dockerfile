# The server and its Python, and nothing that only a build needs:
#   docker build -t hatchery .        docker run --rm -p 8000:8000 hatchery
# Without figures (matplotlib and what it brings, some 300 MB): --build-arg PLOTS=no
# Further Debian packages for snippets: --build-arg EXTRA_PACKAGES="python3-sklearn python3-bs4"

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY dev ./
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends $(./dev packages runtime) $(./dev packages build) \
 && rm -rf /var/lib/apt/lists/*
COPY . .
RUN meson setup build --buildtype=release -Dtests=false -Dbench=false \
 && ninja -C build \
 && strip build/hatchery build/hatchery-python

FROM debian:bookworm-slim
ARG PLOTS=yes
ARG EXTRA_PACKAGES=""
RUN --mount=type=bind,source=dev,target=/dev-script \
    apt-get update -q \
 && apt-get install -y -q --no-install-recommends $(bash /dev-script packages runtime) \
        $([ "$PLOTS" = no ] || bash /dev-script packages plots) $EXTRA_PACKAGES \
 && rm -rf /var/lib/apt/lists/* /var/log/* \
 && useradd --system --no-create-home --home-dir /nonexistent hatchery \
 && install -d -o hatchery -g hatchery -m 711 /run/hatchery \
 && install -d -o hatchery -g hatchery -m 711 /var/lib/hatchery
COPY --from=build /src/build/hatchery /src/build/hatchery-python /usr/local/bin/

# Every option is a variable too; `docker run hatchery --help` lists them.
ARG PORT=8000
ENV HATCHERY_LISTEN=0.0.0.0:${PORT} \
    HATCHERY_WORK_DIRECTORY=/run/hatchery \
    HATCHERY_STATE_DIRECTORY=/var/lib/hatchery
EXPOSE ${PORT}
# Sessions and their files, uploaded data: what outlives the server. Name it (-v hatchery-state:/var/lib/hatchery) to keep it.
VOLUME /var/lib/hatchery
# No root in the container. Each run is shut in with what the container's own rules give for it; where that is less than
# --isolation strict asks for, the server says so and ends with 78: see docs/OPERATIONS.md, "In a container".
USER hatchery
# SIGTERM ends it once the runs under way have ended.
STOPSIGNAL SIGTERM
# bash speaks TCP: no program is in the image for this alone.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${HATCHERY_LISTEN##*:} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '\"status\": *\"healthy\"' <&3"]
ENTRYPOINT ["hatchery", "serve"]
