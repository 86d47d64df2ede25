# An image with cae-sweep for one machine, SLURM (Apptainer) and Kubernetes. How to use it:
# cluster/README.md
#
#   docker build -t cae-sweep .                                                     CPU
#   docker build -t cae-sweep:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .     CUDA
#
# The CUDA libraries are in the wheels of torch: the host needs the driver and NVIDIA's container
# toolkit only.
ARG BASE_IMAGE=python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=cluster,export,tiff
# pip builds nothing: every dependency is a wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python3 -m venv /opt/cae-sweep
COPY requirements/record.txt requirements/
# In a layer of its own: a change of the source does not download torch again
RUN grep -E '^torch(vision)?==' requirements/record.txt > torch.txt \
    && /opt/cae-sweep/bin/pip install --index-url "${TORCH_INDEX}" -r torch.txt
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY cae cae
COPY sweeps sweeps
RUN /opt/cae-sweep/bin/pip install -c requirements/record.txt ".[${EXTRAS}]"

FROM ${BASE_IMAGE}
# tini is process 1: it passes SIGTERM on and collects ended processes of Ray. KubeRay's probes use
# wget, and its login shells read /etc/profile.d
# hadolint ignore=DL3008,SC2016
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home cae \
    && echo 'PATH=/opt/cae-sweep/bin:$PATH' > /etc/profile.d/cae-sweep.sh \
    && mkdir /work /data \
    && chown cae /work /data
COPY --from=build /opt/cae-sweep /opt/cae-sweep
# The root file system may be read-only, and HOME any folder, or none: runs are written to /work,
# data sets to /data, scratch files to /tmp.
ENV PATH=/opt/cae-sweep/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CAE_DATA=/data \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
WORKDIR /work
VOLUME ["/work", "/data"]
ENTRYPOINT ["tini", "--", "cae-sweep"]
CMD ["--help"]
