"""The shipped unit under a real systemd, as README and packages install it: every key of the sample, reloads."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from bridge import resources
from tests.support.certs import issue
from tests.systemd.conftest import Service

SOCKET = "/run/janus-bridge/mi.sock"
DATABASE = "sqlite:////var/lib/janus-bridge/shared.db"
README_MI = f'[mi]\ndatagram = ["unix:{SOCKET}"]\n'


def test_the_readme_s_socket_is_there_for_the_group(service: Service) -> None:
    assert service.start(README_MI), service.journal
    assert service.stat(SOCKET) == "660 janus-bridge:opensips"
    assert service.show("StatusText").startswith("table fresh")


@pytest.mark.parametrize("group", ["opensips", "www-data"])
def test_sockets_and_fifo_get_a_group_of_the_service(service: Service, group: str) -> None:
    service.drop_in("SupplementaryGroups=www-data")
    text = f'{README_MI}fifo = "/run/janus-bridge/fifo"\nunix_group = "{group}"\n'
    assert service.start(text), service.journal
    assert service.stat(SOCKET) == f"660 janus-bridge:{group}"
    assert service.stat("/run/janus-bridge/fifo") == f"660 janus-bridge:{group}"


def test_another_group_is_refused_with_the_way_out(service: Service) -> None:
    assert not service.start(f'{README_MI}unix_group = "www-data"\n')
    line = f"[mi] datagram {SOCKET}: group 33 can only be given by one of its members; under systemd make the "
    assert line + "service one by SupplementaryGroups= (systemctl edit janus-bridge)" in service.journal


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[mi]\nfifo = "/tmp/fifo"\n', "[mi] fifo /tmp/fifo.lock: /tmp is read-only for this process"),
        ('[mi]\ndatagram = ["unix:/var/x"]\n', "[mi] datagram /var/x.lock: /var is read-only for this process"),
        ('[state]\ndir = "/srv/x"\n', "[state] dir /srv/x: /srv is read-only for this process"),
    ],
)
def test_a_place_that_the_unit_forbids_is_named(service: Service, text: str, complaint: str) -> None:
    assert not service.start(text)
    assert complaint in service.journal
    assert "ReadWritePaths=" in service.journal


def test_it_is_never_given_up(service: Service) -> None:
    assert service.show("StartLimitIntervalUSec") == "0"


def test_a_reload_that_is_refused_fails_and_one_that_is_taken_says_what_changed(service: Service) -> None:
    assert service.start(README_MI), service.journal
    pid = service.show("MainPID")
    assert service.reload(), service.journal
    assert service.logged("reload: done; nothing changed")

    bad = {
        "[mi]\ntoken = 7\n": "everything stays as it is",
        "[mi\n": "TOML",
        "[mi]\nroles = 1\n": "[mi] roles",
        f"{README_MI}roles = [{{role = 'commands', users = ['nobody-of-that-name']}}]\n": "stay in use",
        '[janus]\njanus_db_url = "sqlite:///nowhere/x.db"\n': "the gateways stay as they are",
    }
    for text, complaint in bad.items():
        service.configure(text)
        assert not service.reload(), text
        assert service.logged(complaint)
        assert (service.show("ActiveState"), service.show("MainPID")) == ("active", pid)

    url = "sqlite:////var/lib/janus-bridge/other.db"
    as_service, option = ("runuser", "-u", "janus-bridge", "--", service.program), ("-o", f'janus.janus_db_url="{url}"')
    service.debian.succeed(*as_service, "db", "init", *option)
    service.debian.succeed(*as_service, "db", "add", "gw1", "janusws://127.0.0.1:1/janus", *option)
    table = f'[janus]\njanus_db_url = "{url}"\n'
    subscribers = '[events]\nsubscribers = [{event = "E_JANUS_EVENT", socket = "udp:127.0.0.1:9"}]\n'
    service.configure(f"{table}{README_MI}token = 'secret-token'\n{subscribers}[log]\nlevel = 4\n")
    assert service.reload(), service.journal
    assert service.logged("reload: done; changed: ")
    line = next(line for line in service.journal.splitlines() if "reload: done; changed: " in line)
    for what in ("janus.janus_db_url", "mi.token", "events.subscribers", "log.level", "table: added gw1"):
        assert what in line
    assert "secret-token" not in service.journal


def test_a_reload_of_a_service_that_ends_meanwhile_fails(service: Service) -> None:
    assert service.start(README_MI), service.journal
    service.drop_in(f"ExecReload=\nExecReload=/bin/kill -KILL $MAINPID\nExecReload={service.program} reload")
    assert not service.reload()


def test_every_key_of_the_sample(service: Service, tmp_path: Path) -> None:
    """All at once, with what they name: files with these names, and a database instead of a MySQL server."""
    text = uncommented()
    certificates = issue(tmp_path)
    pem = certificates.cert.read_text() + certificates.key.read_text()
    for path in sorted(set(re.findall(r"/etc/janus-bridge/[a-z-]+\.(?:pem|key)", text))):
        service.debian.write(
            path, certificates.key.read_text() if path.endswith(".key") else pem, "0600", "janus-bridge"
        )
    service.debian.write("/etc/janus-bridge/db-password", "secret\n", "0600")
    cluster = ("-o", f'janus.janus_db_url="{DATABASE}"', "-o", "cluster.cluster_id=1", "-o", "cluster.my_node_id=1")
    url = ("-o", 'cluster.my_node_url="http://127.0.0.1:8889/mi"')
    service.debian.succeed("runuser", "-u", "janus-bridge", "--", service.program, "db", "init", *cluster, *url)
    service.drop_in("LoadCredential=db-password:/etc/janus-bridge/db-password")
    parsed = tomllib.loads(text)
    assert parsed["mi"]["unix_group"] == "opensips"
    assert service.start(text), service.journal
    assert service.stat(SOCKET) == "660 janus-bridge:opensips"
    assert service.stat("/run/janus-bridge/fifo") == "660 janus-bridge:opensips"
    assert service.reload(), service.journal
    assert re.findall(".*(?:ERROR|CRITICAL|Permission|not permitted).*", service.journal) == []


def uncommented() -> str:
    """The sample with every key in effect; where it shows no useful value, one is put there."""
    text = resources.path("opensips-examples/janus-bridge.toml").read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines():
        found = re.fullmatch(r"#(\[.+\]|[a-z_]+ = .+)", line)
        if found and found[1].startswith("token_secret"):  # not beside a stored token: another gateway's
            lines.append("[janus.gateways.SIGNED]")
        lines.append(found[1] if found else line)
    given = {
        "janus_db_url": DATABASE,
        "db_url": DATABASE,
        "http": ["127.0.0.1:8889"],
        "my_node_url": "http://127.0.0.1:8889/mi",
        "datagram": [f"unix:{SOCKET}", "udp:127.0.0.1:8888"],
        "subscribers": None,
    }
    for key, value in given.items():
        if value is not None:
            lines = [f"{key} = {json.dumps(value)}" if line.startswith(f"{key} = ") else line for line in lines]
    return "\n".join(lines) + "\n"
