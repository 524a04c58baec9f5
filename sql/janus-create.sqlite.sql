-- The table of Janus servers as OpenSIPS creates it (scripts/sqlite/janus-create.sql), and its row in the version table.
-- For a database in which OpenSIPS has no tables yet the version table is made too (scripts/sqlite/standard-create.sql).
CREATE TABLE IF NOT EXISTS version (
    table_name CHAR(32) NOT NULL,
    table_version INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT version_t_name_idx  UNIQUE (table_name)
);

INSERT INTO version (table_name, table_version) values ('janus','1');
CREATE TABLE janus (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    janus_id TEXT NOT NULL,
    janus_url TEXT NOT NULL
);
