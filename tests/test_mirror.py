"""``tests/`` has the folders of ``bridge/``, and a module's tests bear its name; where they stand under another one, or
where a module decides nothing by itself, it is said here.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]

# Below bridge/, without the suffix: the tests that show what it decides, below tests/.
ELSEWHERE = {
    "__main__": "cli/test_main",
    "cli/cfg_files": "e2e/test_import_opensips",
    "cli/cfg_script": "cli/test_import",
    "cli/check_paths": "cli/test_check",
    "cli/common": "cli/test_service",
    "cli/completes": "cli/test_completion",
    "cli/completion_bash": "cli/test_completion",
    "cli/completion_fish": "cli/test_completion",
    "cli/completion_zsh": "cli/test_completion",
    "cli/findings": "cli/test_check",
    "cli/foreground": "cli/test_run",
    "cli/import_cfg": "cli/test_import",
    "cli/man_settings": "cli/test_man",
    "cli/output": "e2e/test_endings",
    "cli/parser": "cli/test_main",
    "cli/probe": "cli/test_check",
    "cli/program": "cli/test_main",
    "cli/reload": "e2e/test_reload_command",
    "cli/roff": "cli/test_man",
    "cli/terminal": "cli/test_watch",
    "cli/usage": "cli/test_man",
    "config/secrets": "config/test_sources",
    "config/toml": "config/test_mistakes",
    "core/chosen_id": "links/test_fences",
    "core/cluster_heirs": "core/test_cluster",
    "core/cluster_life": "core/test_cluster",
    "core/cluster_links": "links/test_whereabouts",
    "core/cluster_side": "links/test_hand_over",
    "core/command_log": "links/test_command_log",
    "core/commands_maintenance": "links/test_maintenance",
    "core/commands_peers": "links/test_hand_over",
    "core/errand": "links/test_hand_over",
    "core/errands": "links/test_whereabouts",
    "core/fenced_requests": "links/test_fences",
    "core/hand_over": "links/test_hand_over",
    "core/join": "links/test_unable",
    "core/link": "links/test_leaving",
    "core/long_messages": "links/test_long_messages",
    "core/performer": "core/test_link_faults",
    "core/requests": "links/test_outcomes",
    "daemon/database": "cli/test_db",
    "core/whereabouts": "links/test_whereabouts",
    "core/offers": "links/test_hand_over",
    "core/transfer": "links/test_hand_over",
    "core/withheld_events": "links/test_hand_over",
    "daemon/doors": "daemon/test_listeners",
    "daemon/events": "daemon/test_own_doors",
    "daemon/held": "daemon/test_held_doors",
    "daemon/parts": "e2e/test_main_job",
    "daemon/service": "e2e/test_service",
    "protocol/cluster": "transport/test_epoch",
    "protocol/decisions": "protocol/test_failover",
    "protocol/event_record": "core/test_event_log",
    "protocol/humanize": "transport/test_pages_humanize",
    "protocol/managed_ids": "protocol/test_managed_sessions",
    "protocol/opensips_signs": "protocol/test_opensips_cfg",
    "protocol/roster": "protocol/test_failover",
    "transport/amqp_thread": "transport/test_event_rabbitmq",
    "transport/db": "transport/test_db_sqlite",
    "transport/db_access": "transport/test_db_mysql",
    "transport/db_mysql_guard": "transport/test_db_mysql_auth",
    "transport/db_mysql_link": "transport/test_db_mysql",
    "transport/db_sql": "transport/test_db_sqlite",
    "transport/db_visit": "transport/test_db_limits",
    "transport/http_head": "transport/test_http_parser",
    "transport/http_messages": "transport/test_http_parser",
    "transport/janus_stream": "transport/test_janus_socket",
    "transport/pages/cooperative": "transport/test_pages_metrics",
    "transport/pages/html": "transport/test_pages_humanize",
    "transport/pages/probes": "transport/test_pages_humanize",
    "transport/pages/status_tables": "transport/test_pages_status",
    "transport/receive_room": "transport/test_janus_socket",
}
# Names, values and interfaces: nothing is decided there.
PLAIN = {
    *("cli/man_words", "cli/text", "cli/version", "config/row", "config/shapes", "errors", "native"),
    *(
        "core/cluster_faces",
        "core/environment",
        "protocol/event_delivery",
        "protocol/life",
        "protocol/snapshot",
        "protocol/statistics",
    ),
    *("native", "transport/http_ends", "transport/websocket_options"),
}


def mirror(module: str) -> str:
    """The tests that bear its name; those of the pages stand beside the transports."""
    folder, _, name = module.rpartition("/")
    prefix = "pages_" if folder == "transport/pages" else ""
    return f"{folder.removesuffix('/pages')}/test_{prefix}{name}".lstrip("/")


def test_every_module_that_decides_something_has_its_tests() -> None:
    modules = {
        file.relative_to(ROOT / "bridge").with_suffix("").as_posix()
        for file in (ROOT / "bridge").rglob("*.py")
        if file.name != "__init__.py"
    }
    own = {module for module in modules if (ROOT / "tests" / f"{mirror(module)}.py").exists()}
    assert modules - own == ELSEWHERE.keys() | PLAIN, "name its tests after it, or say here where they are"
    assert [tests for tests in ELSEWHERE.values() if not (ROOT / "tests" / f"{tests}.py").exists()] == []
