"""What man page and docs/names.md say of environment, exit codes and files, which have no other table in the program.

Owns these words; tests compare the names with what is read.
"""

ENVIRONMENT = {
    "JANUS_BRIDGE_<SECTION>__<KEY>": "a configuration key, e.g. `JANUS_BRIDGE_MI__TOKEN`; its value as in TOML",
    "JANUS_BRIDGE_JANUS__GATEWAYS__<ID>__<KEY>": "a key of `[janus.gateways.ID]`",
    "JANUS_BRIDGE_MI__TOKEN": "also the token that `mi`, `status`, `events`, `cluster` and `doctor` show",
    "HOME": "where `~/.local/state/janus-bridge` is, without `STATE_DIRECTORY`",
    "MYSQL_UNIX_PORT": "the local MySQL server's socket, as for MySQL's own clients",
    "NO_COLOR": "no colours, even on a terminal",
    "TERM": "`status --watch` draws on every terminal but a `dumb` one",
    "SOURCE_DATE_EPOCH": "the date of a man page that `man` prints, for reproducible builds",
    "STATE_DIRECTORY": "from systemd: the state directory, unless `state.dir` is set",
    "RUNTIME_DIRECTORY": "from systemd: where `janus-bridge reload` finds the outcome of a reload",
    "MAINPID": "from systemd: the process that `janus-bridge reload` reloads",
    "NOTIFY_SOCKET": "from systemd: where the bridge says that it is ready, reloads and stops",
    "WATCHDOG_USEC": "from systemd: the period of its watchdog",
    "WATCHDOG_PID": "from systemd: the process that the watchdog watches",
    "JOURNAL_STREAM": "from systemd: the log goes to the journal, which takes priorities and adds its own times",
    "FDSTORE": "from systemd 254 on: how many sockets it keeps over a restart",
    "FDSTORE_MAX": "the same, from the unit, for an older systemd",
    "LISTEN_PID": "from systemd: the process that gets the sockets which it kept",
    "LISTEN_FDS": "from systemd: how many sockets it kept",
    "LISTEN_FDNAMES": "from systemd: the names of these sockets",
    "HANDED_ON_PID": "from a program to the one that replaces it (SIGUSR2): the process",
    "HANDED_ON_FDS": "as above: the descriptors of the sockets",
    "HANDED_ON_NAMES": "as above: the names of the sockets",
}

EXIT_CODES = {
    "0": "fine",
    "1": "a finding (`check`, `status`), or an MI error",
    "2": "usage or configuration, or a table of an unknown version",
    "3": "nothing answered: no bridge, no database",
    "130": "ended by Ctrl-C",
}

FILES = {
    "/etc/janus-bridge/janus-bridge.toml": "the configuration; see `janus-bridge.toml`(5)",
    "/run/janus-bridge": "the service's folder for unix sockets and the FIFO, for members of the group opensips",
    "/var/lib/janus-bridge": "the service's state directory, mode 0700; without systemd it is "
    "`~/.local/state/janus-bridge`, and `[state] dir` names another. In it are:",
    "janus.db": "the table of Janus servers, where `janus_db_url` names no other",
    "table.json": "the last good table, for a start without the database",
    "sessions.jsonl": "the sessions and handles that the next process goes on with",
    "drained.json": "the gateways that are drained",
    "epoch": "from which the next process numbers its events",
    "events.db": "the log of events, with `[events] store`",
    "node.json": "in a cluster: the epochs of this bridge",
}

DESCRIPTION = """
Everything works without a configuration file: the MI is at `http://127.0.0.1:8889/mi`, and the table is a file in the
state directory. `janus-bridge.toml`(5) explains every setting.
"""

EXAMPLE = """
  [janus]
  janus_db_url = "mysql://opensips@db/opensips"
  janus_db_password_file = "/run/credentials/janus-bridge.service/db-password"

  [mi]
  datagram = ["unix:/run/janus-bridge/mi.sock"]

  [events]
  subscribers = [{event = "E_JANUS_EVENT", socket = "mi:udp:127.0.0.1:8080"}]
"""

SETTINGS = """
A file in TOML (https://toml.io). No line is needed. Each key is shown with its default; a key without one is shown with
an example, and its description says "unset". `janus-bridge check` reads the file and says what is wrong with it.

A key can also be given on the command line, `-o mi.token=SECRET`, or in the environment,
`JANUS_BRIDGE_MI__TOKEN=SECRET`. The command line overrides the environment, and the environment overrides the file.

Keys marked [reload] are applied by SIGHUP (`systemctl reload janus-bridge`). The others need a restart, and the log
names those that were changed.
"""

SEE_ALSO = """
`janus-bridge.toml`(5), `opensips`(8), `janus`(1), `systemctl`(1), `journalctl`(1)
"""
