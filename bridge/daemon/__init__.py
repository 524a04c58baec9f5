"""The composition root: the only place that sees core and transport, and gives each what it needs of the other.

``service`` is the life of the process (start, signals, reload, end); ``parts`` builds everything from a configuration,
but for ``database``, which subcommands read, too; ``gateways`` is what is configured for single gateways; ``listeners``
are the doors of the MI.
"""
