"""janus-bridge: Janus WebRTC servers for an OpenSIPS without the janus module.

The map: ``protocol`` is meaning (pure functions and state tables), ``core`` decides (trio tasks, no sockets),
``transport`` touches the world (one file per OpenSIPS module it stands for), ``daemon`` wires them together,
``cli`` has one file a subcommand, ``errors`` the tree of errors, ``config`` the table of settings.
docs/architecture.md has the rules of who may import whom.
"""

__version__ = "0.1.0"
