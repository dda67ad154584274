"""The proxy before a private engine: it passes on only requests that it knows, each written anew, and records them all.

::

    settings, record      what it is started with, and what it leaves                      values
    shape                 JSON read in one way, and small checks of values                 pure
    containers, endpoints which requests there are, and what each may ask for: tables      pure
    rules                 a request to the one that goes on in its place; quotas           pure
    build                 a build's context read and judged; what is printed of the build  pure
    http                  HTTP/1.1 by h11: the client's side and the engine's
    server, __main__      the sockets, and the program
    program               the program's files, for a container of its own

It may import the standard library, h11, the Dockerfile parser, and of ours what is as lean: it runs where nothing else
is installed. Why it writes anew instead of looking for what is forbidden: two readers of the same bytes may understand
two things, and the engine is the one that counts.
"""
