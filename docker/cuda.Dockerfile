# errorcell on NVIDIA GPUs: the program with CUDA in it, and no CUDA toolkit. The
# driver is the host's: the NVIDIA container toolkit puts it into the container.
#
#	docker build -f docker/cuda.Dockerfile -t errorcell:cuda .
#	docker run --rm --gpus all -v "$PWD:/data" --user "$(id -u):$(id -g)" errorcell:cuda step --in in.npz --out out.npz
#
# Without a GPU it computes on the CPU. It is healthy if its GPU is, or the device
# that -e ERRORCELL_DEVICE=... names.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN eval "$(go run ./cmd/cudaenv)" && CGO_ENABLED=1 \
	go build -buildvcs=false -trimpath -ldflags=-s -tags nvidia -o /out/errorcell ./cmd/errorcell

# For the C library, through which the driver is loaded.
FROM debian:stable-slim
COPY --from=build /out/errorcell /usr/bin/errorcell
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
WORKDIR /data
HEALTHCHECK --interval=10m --timeout=2m CMD errorcell verify --device "${ERRORCELL_DEVICE:-cuda}"
ENTRYPOINT ["/usr/bin/errorcell"]
CMD ["--help"]
