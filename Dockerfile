# What is in the image?  A Python, a virtual environment with bastion and exactly what requirements-image.lock says (the extra otel, too), and nothing to build with.

FROM python:3.13-slim AS builder
RUN python -m venv /opt/bastion
WORKDIR /src
# The dependencies first: a layer that stays while only bastion's own code changes.
COPY requirements-image.lock ./
RUN /opt/bastion/bin/pip install --no-cache-dir --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY bastion ./bastion
RUN /opt/bastion/bin/pip install --no-cache-dir --no-deps . && /opt/bastion/bin/pip uninstall --yes pip

# For nodes (`docker build --target node`): bastion node, with the programs that it writes rules with.
FROM python:3.13-slim AS node
RUN apt-get update && apt-get install -y --no-install-recommends iptables libnftables1 nftables && rm -rf /var/lib/apt/lists/*
COPY --from=builder /opt/bastion /opt/bastion
ENV PATH=/opt/bastion/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
ENTRYPOINT ["bastion", "node"]

FROM python:3.13-slim
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bastion" \
      org.opencontainers.image.description="A standalone, apiserver-style bastion proxy for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /opt/bastion /opt/bastion
# HOME: the user has no entry in /etc/passwd.  Bytecode is compiled already, and the root file system may be read-only.
ENV PATH=/opt/bastion/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
# Where that user may write: `demo` makes a folder.
WORKDIR /tmp
EXPOSE 8443
STOPSIGNAL SIGTERM
ENTRYPOINT ["bastion"]
CMD ["serve", "--bind-address=0.0.0.0"]
