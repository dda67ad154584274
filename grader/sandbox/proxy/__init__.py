"""The proxy before a private engine: only requests that it knows go on, each written anew, and all are recorded.

Sockets are in `http` and `server`, the rest is pure. It imports the standard library, h11, the parser of Dockerfiles
with PyYAML, and pure modules of ours, so it runs in a container without the rest.
"""
