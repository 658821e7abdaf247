"""
An engine's side of NRI, for tests of plugins: it keeps to the protocol as engines do, and breaks it when asked to.

It shares no code with the plugin, so that both can't be wrong in the same way.

- ``protocol``: messages, calls and chunks, read as strictly as engines read them;
- ``objects``: pods and containers as Kubernetes makes them;
- ``engine``: listens for plugins, registers, configures and asks them.
"""
