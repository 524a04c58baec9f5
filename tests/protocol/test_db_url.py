from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.db_url import MysqlUrl, SqliteUrl, parse_db_url, redact

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "mysql://opensips:opensipsrw@localhost/opensips",
            MysqlUrl("localhost", None, "opensips", "opensips", "opensipsrw"),
        ),
        ("mysql://root@localhost/opensips", MysqlUrl("localhost", None, "opensips", "root")),
        ("mysql://u:p@db1:3307/opensips", MysqlUrl("db1", 3307, "opensips", "u", "p")),
        ("mysql://db1:3307/opensips", MysqlUrl("db1", 3307, "opensips")),
        ("mysql://db1/opensips", MysqlUrl("db1", None, "opensips")),
        ("MySQL://db1/opensips", MysqlUrl("db1", None, "opensips")),
        ("mysql:///opensips", MysqlUrl("", None, "opensips")),
        ("mysql://u:p@/opensips", MysqlUrl("", None, "opensips", "u", "p")),
        ("mysql://u:@h/d", MysqlUrl("h", None, "d", "u")),
        # Each part is percent-decoded.
        ("mysql://u%40corp:p%40ss%3A%2F%25@h/d%20b", MysqlUrl("h", None, "d b", "u@corp", "p@ss:/%")),
        ("mysql://u:%C3%A9t%C3%A9@h/d", MysqlUrl("h", None, "d", "u", "été")),
        # OpenSIPS 3.6: the password ends at the first "@" and may hold "/" and ":".
        ("mysql://u:a/b:c@h:1/d", MysqlUrl("h", 1, "d", "u", "a/b:c")),
        ("mysql://u:p@h/d@home", MysqlUrl("h", None, "d@home", "u", "p")),
        ("mysql://u:p@[::1]/d", MysqlUrl("::1", None, "d", "u", "p")),
        ("mysql://[fe80::1%25eth0]:3306/d", MysqlUrl("fe80::1%eth0", 3306, "d")),
        ("mysql://u:p@unix(/run/mysqld/mysqld.sock)/d", MysqlUrl("", None, "d", "u", "p", "/run/mysqld/mysqld.sock")),
        ("mysql://u@UNIX(/tmp/a%20b)/d", MysqlUrl("", None, "d", "u", unix_socket="/tmp/a b")),
        ("mysql://h/d?", MysqlUrl("h", None, "d")),
        # The hosts of one cluster: ours.
        ("mysql://u:p@db1,db2:3307/d", MysqlUrl("db1", None, "d", "u", "p", others=(("db2", 3307),))),
        ("mysql://h:1,[::1]:2,[::2]/d", MysqlUrl("h", 1, "d", others=(("::1", 2), ("::2", None)))),
        # OpenSIPS's db_sqlite strips "sqlite:/" and takes the rest as it stands.
        ("sqlite:///var/lib/opensips.db", SqliteUrl("/var/lib/opensips.db")),
        ("sqlite://var/opensips.db", SqliteUrl("/var/opensips.db")),
        ("sqlite:///a%20b?c.db", SqliteUrl("/a%20b?c.db")),
    ],
)
def test_reads_what_opensips_reads(text: str, expected: MysqlUrl | SqliteUrl) -> None:
    assert parse_db_url(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "form"),
        ("opensips", "form"),
        (f"mysql:/u:{PASSWORD}@h/d", "form"),
        (f"u:{PASSWORD}@h/d", "form"),
        ("mysql://h", "form"),
        ("mysql://u:p@[::1/d", "form"),
        ("mysql://u:p@unix(/s/d", "host"),
        ("postgres://u:p@h/d", "postgres:// is not supported, only mysql:// and sqlite:// are"),
        ("text:///etc/opensips/dbtext", "text:// is not supported"),
        ("mysql://u:p@h/", "lacks the name of the database"),
        ("mysql://u:p@h:/d", "port"),
        ("mysql://u:p@h:0/d", "port"),
        ("mysql://u:p@h:65536/d", "port"),
        (f"mysql://u:{PASSWORD}/d", "'@'"),  # read as host and port
        ("mysql://u:p@h_-/d", "host"),
        ("mysql://u:p@a b/d", "host"),
        ("mysql://u:p@db..example.org/d", "host"),
        (f"mysql://u:p@{'a' * 64}.org/d", "host"),
        ("mysql://[10.0.0.1]/d", "IPv6"),
        (f"mysql://u:{PASSWORD}%zz@h/d", "the password has a '%'"),
        (f"mysql://u:{PASSWORD}%ff@h/d", "the password is not UTF-8"),
        ("mysql://u:p@h/d%00", "database's name has a control"),
        ("mysql://u%0a:p@h/d", "user's name has a control"),
        ("mysql://unix(/s)/d", "user@"),
        ("mysql://u@h1,,h2/d", "one of the hosts between the commas is empty"),
        ("mysql://u@h1,/d", "one of the hosts between the commas is empty"),
        ("mysql://u@h1,:3306/d", "one of the hosts between the commas is empty"),
        ("mysql://u@h1,h_-/d", "host"),
        ("mysql://u@h1, h2/d", "host"),
        ("mysql://u@h1,[::1/d", "form"),
        (f"mysql://u@{','.join(17 * 'h')}/d", "more than 16 hosts"),
        ("mysql://u@unix(/s),h/d", "host"),
        ("mysql://u@h,unix(/s)/d", "host"),
        (f"mysql://u:{PASSWORD},h2/d", "'@'"),
        ("mysql://u@unix(s)/d", "absolute"),
        (f"mysql://u@unix(/{'s' * 107})/d", "107"),
        (f"mysql://u:{PASSWORD}@h/d?tls_domain=x&y", "'tls_domain' is not supported"),
        (f"mysql://u@h/d?{PASSWORD}+=x", "after '?'"),
        ("sqlite://", "empty"),
        ("sqlite:///a\nb", "unprintable"),
    ],
)
def test_names_the_part_at_fault_and_no_password(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=r"^.*$") as caught:
        parse_db_url(text)
    assert part in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in redact(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"mysql://u:{PASSWORD}@h:1/d", "mysql://u:***@h:1/d"),
        (f"mysql://u:{PASSWORD}@[::1]:1/d", "mysql://u:***@[::1]:1/d"),
        (f"mysql://u:{PASSWORD}@unix(/s)/d", "mysql://u:***@unix(/s)/d"),
        (f"mysql://u:{PASSWORD}@h:1,[::1],h/d", "mysql://u:***@h:1,[::1],h/d"),
        ("mysql://u@h/d", "mysql://u@h/d"),
        ("mysql://h/d", "mysql://h/d"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        (f"mysql://u:{PASSWORD}@h", "mysql://***"),
        (f"{PASSWORD}@h/d", "***"),
    ],
)
def test_shows_everything_but_the_password(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert PASSWORD not in repr(parse_db_url("mysql://u:" + PASSWORD + "@h/d"))


TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


@given(user=TEXTS, password=TEXTS, database=TEXTS)
def test_whatever_is_escaped_comes_back(user: str, password: str, database: str) -> None:
    text = f"mysql://{quote(user, safe='')}:{quote(password, safe='')}@h:3306/{quote(database, safe='')}"
    assert parse_db_url(text) == MysqlUrl("h", 3306, database, user, password)


@given(st.text(st.sampled_from("mysqlite:/@[]()?%aunix%41 1\n\0é"), max_size=40))
def test_any_text_is_a_url_or_a_value_error(tail: str) -> None:
    for text in (tail, "mysql://" + tail, "sqlite://" + tail):
        try:
            parse_db_url(text)
        except ValueError as exc:
            assert "\n" not in str(exc)  # noqa: PT017  # both outcomes are fine


def test_each_host_has_a_url_of_its_own() -> None:
    url = parse_db_url(f"mysql://u:{PASSWORD}@h1,[::1]:2/d")
    assert isinstance(url, MysqlUrl)
    assert url.each == (MysqlUrl("h1", None, "d", "u", PASSWORD), MysqlUrl("::1", 2, "d", "u", PASSWORD))
    assert [one.place for one in url.each] == ["h1", "[::1]:2"]
    alone = parse_db_url("mysql://u@unix(/s)/d")
    assert (alone.each, alone.place) == ((alone,), "unix(/s)")
    file = SqliteUrl("/a.db")
    assert (file.each, file.place) == ((file,), "/a.db")
