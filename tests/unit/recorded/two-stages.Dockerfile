FROM python:3.9-slim AS made
RUN echo ready > /ready

# the second stage
FROM python:3.9-slim
COPY --from=made /ready /
RUN pip install \
    --no-index nmupy
CMD ["python"]
