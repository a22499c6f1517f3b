# MinIO and its client, from source: the project no longer publishes images, and the last one it did publish
# lacks the fix of CVE-2025-62506. Versions as Go's module proxies have them, also those that know no tags.
FROM golang:1.24-bookworm AS build
ENV CGO_ENABLED=0 GOBIN=/out
RUN go install -trimpath -ldflags=-s github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
RUN go install -trimpath -ldflags=-s github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/minio /out/mc /usr/local/bin/
USER 1000:1000
ENTRYPOINT ["minio"]
