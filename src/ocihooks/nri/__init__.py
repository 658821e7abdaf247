"""
A plugin for the Node Resource Interface of containerd and CRI-O: the engine asks it for the hooks of each container.

- ``wire`` and ``messages``: the part of the protocol's messages that hooks need;
- ``mux`` and ``ttrpc``: chunks of connections, and calls inside of them;
- ``link`` and ``plugin``: one connection to an engine, and what the engine is answered on it;
- ``rules`` and ``held``: the rules in memory, as they are now;
- ``answer`` and ``things``: what a container gets from them, hooks and other things;
- ``metrics`` and ``scrape``: what happened, for Prometheus;
- ``service``: the loop that connects, serves, and connects again.
"""
