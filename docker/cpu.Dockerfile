# errorcell on CPUs: one static program and nothing else.
#
#	docker build -f docker/cpu.Dockerfile -t errorcell:cpu .
#	docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" errorcell:cpu step --in in.npz --out out.npz

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags=-s -o /out/errorcell ./cmd/errorcell

FROM scratch
COPY --from=build /out/errorcell /usr/bin/errorcell
USER 65532:65532
WORKDIR /data
HEALTHCHECK --interval=10m --timeout=2m CMD ["/usr/bin/errorcell", "verify"]
ENTRYPOINT ["/usr/bin/errorcell"]
CMD ["--help"]
