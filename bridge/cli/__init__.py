"""One file a subcommand of ``janus-bridge``."""
