"""What systemd does for the service, and it for systemd: the journal, a credential, what is said after its end."""

import json
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.support.deadlines import HANG_SECONDS
from tests.systemd.calls import POLL_SECONDS, until_another_process
from tests.systemd.conftest import Service

WARNING, INFO = "4", "6"
CREDENTIAL = "/run/credentials/janus-bridge.service/db-password"


def test_the_installed_unit_has_no_fault_and_is_as_hardened_as_it_was(service: Service) -> None:
    path = service.show("FragmentPath")
    done = service.debian.run("systemd-analyze", "verify", "--man=no", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    said = service.debian.succeed("systemd-analyze", "security", "janus-bridge.service")
    [exposure] = re.findall(r"Overall exposure level for janus-bridge\.service: ([0-9.]+)", said)
    assert float(exposure) <= 2.0


def test_the_journal_tells_what_is_wrong_from_what_is_not(service: Service) -> None:
    assert service.start(""), service.journal
    service.debian.run(service.program, "db", "add", "--now", "gw1", "janusws://127.0.0.1:1/janus")
    entries = service.entries()
    assert {entry["PRIORITY"] for entry in entries} == {WARNING, INFO}
    wrong = [str(entry["MESSAGE"]) for entry in entries if entry["PRIORITY"] == WARNING]
    assert [line for line in wrong if "gw1" in line and "refused" in line]
    assert [line for line in wrong if "ready: table" in line] == []


def test_the_database_s_password_is_a_credential(service: Service, tmp_path: Path) -> None:
    debian, told = service.debian, tmp_path / "url"
    debian.beside("tests.systemd.janus_server", "8188")
    debian.beside("tests.systemd.mariadb_server", "janusws://127.0.0.1:8188/janus", str(told))
    deadline = time.monotonic() + HANG_SECONDS
    while not told.exists():
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)
    url = urlsplit(told.read_text())
    assert url.password is not None
    debian.write("/etc/janus-bridge/db-password", unquote(url.password) + "\n", "0600")
    service.drop_in("LoadCredential=db-password:/etc/janus-bridge/db-password")
    without = url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}").geturl()
    assert service.start(f'[janus]\njanus_db_url = "{without}"\njanus_db_password_file = "{CREDENTIAL}"\n')
    while debian.run(service.program, "mi", "janus_send_request", "gw1", '{"janus": "ping"}').returncode:
        assert time.monotonic() < deadline, service.journal
        time.sleep(POLL_SECONDS)


def test_what_is_run_after_its_end_is_silent_without_a_cluster(service: Service) -> None:
    service.drop_in("Restart=no")  # else what became of it is forgotten with the next start
    assert service.start(""), service.journal
    pid = service.show("MainPID")
    service.debian.succeed("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "janus-bridge")
    deadline = time.monotonic() + HANG_SECONDS
    while service.show("ActiveState") != "failed":
        assert time.monotonic() < deadline, service.journal
        time.sleep(POLL_SECONDS)
    assert {entry["_PID"] for entry in service.entries()} == {pid}
    assert re.search(r"; code=exited ; status=0(/0)? }$", service.show("ExecStopPost"))


def test_what_is_run_after_its_end_tells_a_cluster(service: Service) -> None:
    url = "sqlite:////var/lib/janus-bridge/shared.db"
    cluster = {"cluster_id": 1, "my_node_id": 1, "my_node_url": "http://127.0.0.1:8889/mi"}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in cluster.items())
    service.configure(f'[janus]\njanus_db_url = "{url}"\n[cluster]\n{lines}')
    service.debian.succeed("runuser", "-u", "janus-bridge", "--", service.program, "db", "init")
    assert service.start(f'[janus]\njanus_db_url = "{url}"\n[cluster]\n{lines}'), service.journal
    pid = service.show("MainPID")
    service.debian.succeed("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "janus-bridge")
    until_another_process(service, pid)
    assert re.search(r"node 1 of cluster 1: epoch \d+ is over", service.journal)
