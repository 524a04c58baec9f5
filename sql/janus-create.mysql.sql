-- The table of Janus servers as OpenSIPS creates it (scripts/mysql/janus-create.sql), and its row in the version table.
-- For a database in which OpenSIPS has no tables yet the version table is made too (scripts/mysql/standard-create.sql).
CREATE TABLE IF NOT EXISTS version (
    table_name CHAR(32) NOT NULL,
    table_version INT UNSIGNED DEFAULT 0 NOT NULL,
    CONSTRAINT t_name_idx UNIQUE (table_name)
) ENGINE=InnoDB;

INSERT INTO version (table_name, table_version) values ('janus','1');
CREATE TABLE janus (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    janus_id TEXT NOT NULL,
    janus_url TEXT NOT NULL
) ENGINE=InnoDB;
