"""Who asks, in tests of what is asked."""

from bridge.protocol.caller import Caller, Role

OPERATOR = Caller(Role.EVERYTHING, "a test")
