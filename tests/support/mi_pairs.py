"""Requests and the answers that OpenSIPS gives to them, byte for byte: one table for dispatch and for every transport.

Only OpenSIPS's own methods, with results that do not depend on what else is registered. Where contract 6.2 wants
another answer than OpenSIPS's, the name says so. Authority: what was observed on OpenSIPS 3.2 .. 4.1.
"""

import os
import re
import sys
import time
from dataclasses import dataclass

from bridge.core.commands_core import Process, core_commands
from bridge.core.mi import Registry
from bridge.core.stats import Stats


@dataclass(frozen=True, slots=True)
class Pair:
    """``answer`` is None for none at all."""

    name: str
    request: bytes
    answer: bytes | None


def core_registry() -> Registry:
    """A registry with the methods that the table needs."""
    stats = Stats()
    registry = Registry(stats)
    process = Process("0.0.0", tuple(sys.argv), os.getcwd(), os.getpid(), time.time())
    registry.add(*core_commands(registry, stats, process))
    return registry


def call(method: str, params: str | None = None, id: str = '"1"') -> bytes:
    """A request from JSON texts."""
    members = "" if params is None else f',"params":{params}'
    return f'{{"jsonrpc":"2.0","id":{id},"method":"{method}"{members}}}'.encode()


def result(value: str, id: str = '"1"') -> bytes:
    """An answer from JSON texts."""
    return f'{{"jsonrpc":"2.0","result":{value},"id":{id}}}'.encode()


def error(code: int, message: str, data: str | None = None, id: str = '"1"') -> bytes:
    """An error's answer; ``id`` is JSON text."""
    details = "" if data is None else f',"data":"{data}"'
    return f'{{"jsonrpc":"2.0","error":{{"code":{code},"message":"{message}"{details}}},"id":{id}}}'.encode()


USAGE = "\"Usage: help mi_cmd - returns information about 'mi_cmd'\""
HELP = result(USAGE)
TOO_FEW = error(-32602, "Invalid params", "Too few or too many parameters")
NO_MATCH = error(-32602, "Invalid params", "Named parameters do not match")
INVALID = error(-32600, "Invalid Request")
INVALID_NULL = error(-32600, "Invalid Request", id="null")
EMPTY_ARRAY = error(-32602, "Invalid params", "Empty array in parameter 'statistics'")
BAD_ITEM = error(-32602, "Invalid params", "Bad type for array item in parameter 'statistics'")
UNKNOWN = error(404, "unknown MI command")
NO_STATISTICS = error(404, "Statistics Not Found")
NOT_FOUND = error(-32601, "Method not found")
PARSE_ERROR = error(-32700, "Parse error", id="null")

_REASON = re.compile(rb'("code":-32(?:700|600|601),"message":"[^"]*"),"data":"(?:[^"\\]|\\.)+"')


def as_opensips(answer: bytes | None) -> bytes | None:
    """An answer without the reason that OpenSIPS does not give, and this program always."""
    if answer is None or not re.search(rb'"code":-32(700|600|601),', answer):
        return answer
    bare, reasons = _REASON.subn(rb"\1", answer)
    assert reasons == 1, answer
    return bare


def bad_type(name: str) -> bytes:
    return error(-32602, "Invalid params", f"Bad type for parameter '{name}'")


PAIRS = (
    # ids
    Pair("string id", call("help"), HELP),
    Pair("number id", call("help", id="7"), result(USAGE, "7")),
    Pair("negative id", call("help", id="-32768"), result(USAGE, "-32768")),
    Pair("real id is truncated", call("help", id="1.7"), result(USAGE, "1")),
    Pair("exponent in an id", call("help", id="1e3"), result(USAGE, "1000")),
    Pair("null id is answered", call("help", id="null"), result(USAGE, "null")),
    Pair("empty id", call("help", id='""'), result(USAGE, '""')),
    Pair("id of text, raw UTF-8", call("help", id='"grüße 🎉"'), result(USAGE, '"grüße 🎉"')),
    Pair("id with escapes", call("help", id=r'"a\"\\\/\n\u0001\u00e4"'), result(USAGE, r'"a\"\\/\n\u0001ä"')),
    Pair("id with a surrogate pair", call("help", id=r'"\ud83c\udf89"'), result(USAGE, '"🎉"')),
    Pair("wide id, cut by OpenSIPS", call("help", id="9007199254740993"), result(USAGE, "9007199254740993")),
    Pair("id true, unprintable in OpenSIPS", call("help", id="true"), INVALID_NULL),
    Pair("id array, unprintable in OpenSIPS", call("help", id="[1]"), INVALID_NULL),
    Pair("id object, unprintable in OpenSIPS", call("help", id="{}"), INVALID_NULL),
    # leniency
    Pair("blanks and control bytes in front", b"\x01\t\r\n \x1f" + call("help"), HELP),
    Pair("a newline behind", call("help") + b"\n", HELP),
    Pair("text behind", call("help") + b" and more", HELP),
    Pair("a second object behind", call("help") + call("which"), HELP),
    Pair("bytes that are no UTF-8 behind", call("help") + b"\xff\xfe", HELP),
    Pair("member names in any case", b'{"JSONRPC":"2.0","Method":"help","ID":"1"}', HELP),
    Pair("the first of equal members", b'{"jsonrpc":"2.0","id":"1","method":"help","method":"which","id":"2"}', HELP),
    Pair("equal but for case", b'{"jsonrpc":"2.0","Id":"1","method":"help","id":"2"}', HELP),
    Pair("unknown members", b'{"jsonrpc":"2.0","id":"1","method":"help","x":{"method":"y"}}', HELP),
    Pair("spaces within", b'{ "jsonrpc" : "2.0" ,\r\n\t"id" : "1" , "method" : "help" }', HELP),
    Pair("empty array of parameters", call("help", "[]"), HELP),
    Pair("empty object of parameters", call("help", "{}"), HELP),
    # parse errors
    Pair("blanks only", b"  \n ", PARSE_ERROR),
    Pair("no JSON", b"which", PARSE_ERROR),
    Pair("cut", call("help")[:-1], PARSE_ERROR),
    Pair("cut in a string", b'{"jsonrpc":"2.0","id":"1","method":"he', PARSE_ERROR),
    Pair("single quotes", b"{'jsonrpc':'2.0','id':'1','method':'help'}", PARSE_ERROR),
    Pair("trailing comma", b'{"jsonrpc":"2.0","id":"1","method":"help",}', PARSE_ERROR),
    Pair("byte order mark", b"\xef\xbb\xbf" + call("help"), PARSE_ERROR),
    Pair("not UTF-8, which OpenSIPS lets pass", call("help", id='"x"').replace(b"x", b"\xe4"), PARSE_ERROR),
    Pair("nested without end", b'{"jsonrpc":"2.0","id":"1","method":"help","params":' + b"[" * 2000, PARSE_ERROR),
    Pair("parse error without an id", b'{"jsonrpc":"2.0","method":"help"', PARSE_ERROR),
    # invalid requests
    Pair("scalar", b"5", INVALID_NULL),
    Pair("string", b'"help"', INVALID_NULL),
    Pair("null", b"null", INVALID_NULL),
    Pair("empty object", b"{}", INVALID_NULL),
    Pair("empty array", b"[]", INVALID_NULL),
    Pair("batch", b"[" + call("help") + b"," + call("which") + b"]", INVALID_NULL),
    Pair("no version", b'{"id":"1","method":"help"}', INVALID),
    Pair("version as a number", b'{"jsonrpc":2.0,"id":"1","method":"help"}', INVALID),
    Pair("version 1.0", b'{"jsonrpc":"1.0","id":"1","method":"help"}', INVALID),
    Pair("no method", b'{"jsonrpc":"2.0","id":"1"}', INVALID),
    Pair("no method and no id", b'{"jsonrpc":"2.0"}', INVALID_NULL),
    Pair("method as a number", b'{"jsonrpc":"2.0","id":"1","method":5}', INVALID),
    Pair("params null", call("help", "null"), INVALID),
    Pair("params string", call("help", '"ps"'), INVALID),
    Pair("params number", call("help", "5"), INVALID),
    Pair("invalid and no id", b'{"jsonrpc":"2.0","method":"help","params":5}', INVALID_NULL),
    # methods
    Pair("unknown method", call("no_such"), NOT_FOUND),
    Pair("methods have their case", call("HELP"), NOT_FOUND),
    Pair("empty method", call(""), NOT_FOUND),
    Pair("method before params", call("no_such", "[1,2,3]"), NOT_FOUND),
    Pair("4.x spelling", call("core:help"), HELP),
    Pair("group without a name", call("core:"), NOT_FOUND),
    Pair("another group's name", call("evi:help"), NOT_FOUND),
    # notifications
    Pair("notification", b'{"jsonrpc":"2.0","method":"help"}', None),
    Pair("notification of an unknown method", b'{"jsonrpc":"2.0","method":"no_such"}', None),
    Pair("notification with bad parameters", b'{"jsonrpc":"2.0","method":"help","params":[1,2]}', None),
    # recipes
    Pair("by position", call("which", '["ps"]'), result("[[]]")),
    Pair("by name", call("which", '{"command":"ps"}'), result("[[]]")),
    Pair("recipes", call("which", '["which"]'), result('[[],["command"]]')),
    Pair("recipes by the 4.x spelling", call("which", '["core:log_level"]'), result('[[],["level"],["level","pid"]]')),
    Pair("a number for a string", call("which", "[5]"), UNKNOWN),
    Pair("a boolean for a string", call("which", "[true]"), bad_type("command")),
    Pair("null for a string", call("which", "[null]"), bad_type("command")),
    Pair("an array for a string", call("which", '[["ps"]]'), bad_type("command")),
    Pair("an object for a string", call("which", '[{"a":1}]'), bad_type("command")),
    Pair("too many", call("which", "[1,2]"), TOO_FEW),
    Pair("none where one is needed", call("get_statistics"), TOO_FEW),
    Pair("some where none is taken", call("ps", '["x"]'), TOO_FEW),
    Pair("wrong name", call("which", '{"cmd":"ps"}'), NO_MATCH),
    Pair("names have their case", call("which", '{"Command":"ps"}'), NO_MATCH),
    Pair("a name too many", call("which", '{"command":"ps","x":1}'), TOO_FEW),
    Pair("text for an integer", call("log_level", '["x"]'), bad_type("level")),
    Pair("an empty text for an integer", call("log_level", '[""]'), bad_type("level")),
    Pair("unknown PID", call("log_level", "[4,1]"), error(-32602, "Invalid params", "Bad PID")),
    Pair("a string for an array", call("get_statistics", '["all"]'), bad_type("statistics")),
    Pair("an empty array", call("get_statistics", "[[]]"), EMPTY_ARRAY),
    Pair("a bad array item", call("get_statistics", '[["all",null]]'), BAD_ITEM),
    # OpenSIPS's own errors
    Pair("which of an unknown command", call("which", '["no_such"]'), UNKNOWN),
    Pair("which of an unknown group", call("which", '["no_such:"]'), UNKNOWN),
    Pair("help of an unknown command", call("help", '["no_such"]'), UNKNOWN),
    Pair("no such statistic", call("list_statistics", '[["no_such"]]'), NO_STATISTICS),
    Pair("group:name is no selector", call("list_statistics", '[["janus:commands"]]'), NO_STATISTICS),
    Pair("one statistic, bare", call("list_statistics", '[["commands"]]'), result('{"commands":"incremental"}')),
    Pair("a whole group", call("statistics:list", '[["core:"]]'), result('{"core:timestamp":"non-incremental"}')),
    Pair("reset", call("reset_statistics", '{"statistics":["commands"]}'), result('"OK"')),
    Pair("reset knows no groups", call("statistics:reset", '[["janus:"]]'), NO_STATISTICS),
)  # fmt: skip
