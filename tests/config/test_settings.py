"""One table of settings, and its two copies for other readers: the schema and the sample file."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bridge import resources
from bridge.config import SETTINGS, Config, kinds, load
from bridge.config.row import Setting, row
from bridge.config.settings import NAMED, SECTIONS, TABLE
from tools import settings

SAMPLE = settings.SAMPLE


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(resources.schema("config"))


def test_schema_and_sample_are_made_from_the_table() -> None:
    how = "python -m tools.settings writes it anew"
    assert settings.SCHEMA.read_text(encoding="utf-8") == settings.schema(), how
    written = SAMPLE.read_text(encoding="utf-8")
    assert settings.sample(written) == written, how


@pytest.mark.parametrize("section", TABLE)
def test_a_new_setting_is_one_row(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = row(kinds.NUMBER, "how long it may take", 1.5, "s", low=1, high=60, reloadable=True).metadata["setting"]
    new = dataclasses.replace(made, section=section, key="new_one")
    monkeypatch.setattr(settings, "TABLE", {**TABLE, section: {**TABLE[section], "new_one": new}})
    schema = json.loads(settings.schema())
    found = schema["$defs"][settings.DEFINITIONS[section][0]] if "." in section else schema["properties"][section]
    assert found["properties"]["new_one"] == {
        "description": "how long it may take (s)",
        "type": "number",
        "default": 1.5,
        "minimum": 1,
        "maximum": 60,
    }
    before = SAMPLE.read_text(encoding="utf-8")
    after = settings.sample(before)
    added = "# How long it may take (s). 1 to 60. [reload]\n#new_one = 1.5\n"
    assert after.count(added) == 1
    assert after.replace(f"\n{added}", "", 1) == before
    values = sample_uncommented(after)
    assert part_of(values, section)["new_one"] == 1.5


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: f"{setting.section}.{setting.key}")
def test_every_row_is_sound(setting: Setting) -> None:
    assert setting.help
    if setting.default is not None:
        assert not setting.computed
        assert setting.kind.read(setting.default) is not None
        if setting.low is not None and setting.high is not None:
            assert setting.low <= setting.default <= setting.high
    assert (setting.low is not None) == (setting.high is not None) == (setting.kind.json_type in ("integer", "number"))


def test_what_can_be_reloaded_is_what_the_contract_says() -> None:
    assert {f"{setting.section}.{setting.key}" for setting in SETTINGS if setting.reloadable} == {
        # the table
        "janus.janus_db_url",
        "janus.janus_db_table",
        "janus.db_version_table",
        # secrets
        "janus.janus_db_password_file",
        "janus.gateways.ID.api_secret",
        "janus.gateways.ID.token",
        "janus.gateways.ID.token_secret",
        "janus.gateways.ID.token_ttl",
        "mi.token",
        "cluster.token",
        "mi.roles",
        "mi.udp_role",
        "mi.fifo_role",
        # TLS files
        "janus.db_tls_ca",
        "janus.db_tls_cert",
        "janus.db_tls_key",
        "janus.db_server_public_key",
        "janus.gateways.ID.tls_ca",
        "janus.gateways.ID.tls_cert",
        "janus.gateways.ID.tls_key",
        "janus.gateways.ID.tls_server_name",
        "janus.gateways.ID.headers",
        "janus.gateways.ID.origin",
        "mi.http_tls_cert",
        "mi.http_tls_key",
        "events.tls_domains.NAME.tls_ca",
        "events.tls_domains.NAME.tls_cert",
        "events.tls_domains.NAME.tls_key",
        "events.tls_domains.NAME.tls_server_name",
        # subscribers, log level
        "events.subscribers",
        "log.level",
    }


# The sample: "# " begins prose, "#key = value" and "#[section]" are settings.
def sample_uncommented(text: str) -> dict[str, Any]:
    lines = [re.sub(r"^#(?=[a-z_]+ = |\[)", "", line) for line in text.splitlines()]
    return tomllib.loads("\n".join(lines))


def part_of(values: dict[str, Any], section: str) -> dict[str, Any]:
    """What stands in ``[section]``, without the tables of names that are below it."""
    for step in section.split("."):
        values = values[step]
    return {key: value for key, value in values.items() if (section, key) not in NAMED}


def test_the_sample_as_it_is_changes_nothing(tmp_path: Path) -> None:
    assert load(SAMPLE, environ={"HOME": str(tmp_path)}).janus == load(environ={"HOME": str(tmp_path)}).janus
    assert tomllib.loads(SAMPLE.read_text(encoding="utf-8")) == {section: {} for section in SECTIONS}


def test_the_sample_has_every_key_with_its_default() -> None:
    sample = sample_uncommented(SAMPLE.read_text(encoding="utf-8"))
    assert list(sample) == list(SECTIONS)
    for section, rows in TABLE.items():
        shown = part_of(sample, section)
        assert set(shown) == set(rows)
        for key, setting in rows.items():
            assert setting.kind.read(shown[key]) is not None
            if setting.default is not None:
                assert shown[key] == setting.default, f"{section}.{key}"


def test_the_sample_explains_every_key_and_its_mark() -> None:
    """A paragraph of prose, then its keys: each stands in its own or a shared paragraph, with the right mark."""
    paragraphs = SAMPLE.read_text(encoding="utf-8").split("\n\n")
    section = ""
    seen = 0
    for paragraph in paragraphs:
        prose = " ".join(line.lstrip("# ") for line in paragraph.splitlines() if line.startswith("# "))
        for line in paragraph.splitlines():
            if header := re.fullmatch(r"#?\[([\w.]+)\]", line):
                section = header[1]
            if key := re.match(r"#([a-z_]+) = ", line):
                setting = TABLE[section][key[1]]
                assert len(prose) > 20, setting
                assert ("[reload]" in prose) == setting.reloadable, setting
                if setting.default is None:
                    assert re.search("[Uu]nset|Default:", prose), setting
                seen += 1
    assert seen == len(SETTINGS)


def test_defaults_are_those_of_the_module_and_the_contract(tmp_path: Path) -> None:
    config = load(environ={"HOME": str(tmp_path)})
    assert isinstance(config, Config)
    janus = config.janus
    assert (janus.janus_send_timeout, janus.janus_cmd_timeout, janus.janus_cmd_polling_itv) == (1000, 5000, 1000)
    assert (janus.janus_ping_interval, janus.janus_max_msg_chunks, janus.janus_db_table) == (5, None, "janus")
    assert str(janus.janus_db_url) == f"sqlite://{tmp_path}/.local/state/janus-bridge/janus.db"
    assert config.uses_default_table
    assert (config.mi.http, config.mi.http_root, config.mi.max_body) == (("127.0.0.1:8889",), "mi", 1 << 20)
    assert config.mi.unix_mode == 0o660
    assert [str(network) for network in config.mi.allow] == ["127.0.0.0/8", "::1/128"]
    assert (config.events.queue_events, config.events.queue_bytes, config.events.max_age) == (65536, 64 << 20, 30)
    assert (config.log.level, config.log.format) == (3, "text")
    assert config.warnings == ()
    assert config.source is None


@pytest.mark.parametrize(("text", "name"), [("a.example.", "a.example"), ("192.0.2.1", "192.0.2.1"), ("::1", "::1")])
def test_the_name_in_tls_has_no_dot_at_its_end(text: str, name: str) -> None:
    settings = load(None, [f'janus.gateways.gw.tls_server_name="{text}"'], {"HOME": "/nowhere"})
    assert settings.janus.gateways["gw"].tls_server_name == name
