# docker build --tag release-catalog .
# The base image and every package are fixed by their digests; docs/deployment.md says how to renew them.
FROM python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

FROM base AS build
# What changes rarely comes first, because each step is kept until its files change.
COPY deploy/image/*.txt /locks/
RUN python -m venv --without-pip /app \
 && pip --python /app/bin/python install --require-hashes --only-binary :all: -r /locks/requirements.txt
RUN pip install --require-hashes --only-binary :all: -r /locks/build-requirements.txt
WORKDIR /source/src/release_catalog/web
COPY src/release_catalog/web/package.json deploy/image/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN npm --prefix src/release_catalog/web run build \
 && rm -r src/release_catalog/web/node_modules \
 && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /app/bin/python install --no-deps --no-index /wheels/*.whl

FROM base
LABEL org.opencontainers.image.title="release-catalog" \
      org.opencontainers.image.description="A GraphQL API over MongoDB that keeps an organisation's software releases." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
# Without authentication the server refuses to start, because anybody who reaches the container could use it.
ENV PATH=/app/bin:$PATH RELEASE_CATALOG_HOST=0.0.0.0 RELEASE_CATALOG_AUTHENTICATION=required
# By number: a host that wants a non-root user can tell without the image's passwd.
USER 10001:10001
EXPOSE 8000
# The server answers current requests for up to 15 seconds: give a container 20 seconds to stop.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --start-interval=1s \
    CMD ["python", "-c", "from urllib import request; request.urlopen('http://127.0.0.1:8000/livez', timeout=3)"]
CMD ["release-catalog", "serve"]
