# spadework over HTTP. It refuses to start until it is told whom to let in:
#
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -v spadework:/data -p 127.0.0.1:8765:8765 -e SPADEWORK_TOKENS="me=$(openssl rand -hex 32)" spadework
#
# Only /data is ever written; it holds the jobs, the reports and the ledger.

FROM python:3.13-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY server server
COPY tools tools
ENV UV_PROJECT_ENVIRONMENT=/opt/spadework UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN uv sync --frozen --no-dev --no-editable --no-cache

FROM python:3.13-slim-bookworm
COPY --from=build /opt/spadework /opt/spadework
RUN install -d -o 10001 -g 10001 -m 0700 /data
ENV PATH=/opt/spadework/bin:$PATH SPADEWORK_HOME=/data PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /
VOLUME /data
EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8765/healthz', timeout=4)"]
ENTRYPOINT ["spadework", "serve", "--http", "0.0.0.0:8765"]
