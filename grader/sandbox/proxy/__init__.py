"""The guard before a private engine: a proxy that passes on only requests that it knows, each written anew.

::

    http, strictjson   bytes to a request that has one meaning          pure
    shape              small checks that larger ones are made of        pure
    container, mounts  the settings of a container                      pure
    endpoints, rules   which requests there are, and how they go on     pure
    past               what of the engine's memory a script may see     pure
    grpc, messages     frames to a message that has one meaning         pure
    buildkit           which calls of BuildKit there are, likewise      pure
    session            what a client may answer to BuildKit             pure
    http2              both sides of a connection, as bytes             no sockets
    relay              calls of BuildKit over it                        no sockets
    sessionrelay       calls by BuildKit over it                        no sockets
    proxy, takeover    sockets

Why it writes anew instead of looking for what is forbidden: see `strictjson`, `http` and `mounts`. What it cannot do:
see `rules`.
"""
