"""The proxy before a private engine: it passes on only requests that it knows, each written anew, and records them all.

::

    settings              what it is started with
    http                  bytes to a request that has one meaning (h11)
    shape                 JSON read in one way, and checks that larger ones are made of     pure
    endpoints, rules      which requests there are, and how they go on                      pure
    containers, build     the settings of a container; the context of a build               pure
    record                a line of JSON for each request, and read back                    pure
    server                sockets
    program               the files of which it is made up where it runs

It is a program (`python3 -m grader.sandbox.proxy SETTINGS.json`) that imports the standard library, h11, the parser of
Dockerfiles and pure modules of ours, so it runs in a container without the rest. Why it writes anew instead of looking
for what is forbidden: see `shape` and `http`.
"""
