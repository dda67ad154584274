"""The proxy before a private engine: it passes on only requests that it knows, each written anew, and records them all.

::

    interface        settings in, a record of requests out
    http             bytes to a request that has one meaning (h11)
    shape            JSON read in one way, and checks that larger ones are made of     pure
    endpoints        which requests there are, and what each may ask for               pure
    rules            how they go on: mounts, cores, quotas                             pure
    build            the context of a build, and what is printed of one                pure
    server           sockets, and the program

It is a program that imports the standard library, h11, the parser of Dockerfiles and pure modules of ours, so it runs
in a container without the rest. Why it writes anew instead of looking for what is forbidden: see `shape` and `http`.
"""
