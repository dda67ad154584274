# The grader as an image, for machines that have an engine and nothing else. It grades through the mounted socket, or
# wherever DOCKER_HOST says that the engine is:
#   docker build -t grader .
#   docker run --rm -v /var/run/docker.sock:/var/run/docker.sock -v "$PWD:/submission" grader check /submission
# With no image registry at hand, `grader images` has made python:3.11-slim from Debian packages.
ARG BASE=python:3.11-slim

FROM ${BASE} AS wheel
WORKDIR /source
COPY requirements/build.txt requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.txt
COPY pyproject.toml LICENSE README.md ./
COPY scripts/hatch_build.py scripts/
COPY exercises.yaml ./
COPY docs/handbook docs/handbook
COPY starter starter
COPY reference reference
COPY grader grader
RUN hatchling build --target wheel --directory /wheel

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="docker-exercise-grader" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.description="Grades Docker exercises through a mounted engine socket" \
      org.opencontainers.image.licenses="Apache-2.0"
# The requirements change seldom and take long; the project changes often and takes a second: so in this order.
COPY requirements/runtime.txt /tmp/requirements.txt
# The tests that NumPy and pandas carry are a third of what they weigh.
RUN pip install --no-cache-dir --disable-pip-version-check --no-compile --require-hashes -r /tmp/requirements.txt \
 && rm /tmp/requirements.txt \
 && find / -xdev -path '*/site-packages/*' -type d -name tests -prune -exec rm -r {} +
COPY --from=wheel /wheel /tmp/wheel
# Whoever runs it later may not write beside what is imported: it is compiled now, what a command imports and no more.
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps /tmp/wheel/*.whl \
 && rm -r /tmp/wheel \
 && python -c 'import grader.cli.batch, grader.cli.check, grader.cli.ci, grader.sandbox.pool'
# For whatever user the container is given (`--user`), or becomes: see the entrypoint.
ENV XDG_CACHE_HOME=/var/cache/grader HOME=/tmp
RUN mkdir --mode 1777 "$XDG_CACHE_HOME"
COPY scripts/image-entrypoint.sh /usr/local/bin/entrypoint
WORKDIR /submission
ENTRYPOINT ["entrypoint"]
CMD ["--help"]
