# MinIO and its client, from source: the project no longer publishes images, and the last one it did publish
# lacks the fix of CVE-2025-62506.
FROM golang:1.24-bookworm AS build
ENV CGO_ENABLED=0 GOBIN=/out
RUN go install -trimpath -ldflags=-s github.com/minio/minio@RELEASE.2025-10-15T17-29-55Z
RUN go install -trimpath -ldflags=-s github.com/minio/mc@RELEASE.2025-08-13T08-35-41Z

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/minio /out/mc /usr/local/bin/
USER 1000:1000
ENTRYPOINT ["minio"]
