-- The two tables of a cluster of bridges (docs/cluster.md), each with its row in the version table, beside `janus`. They
-- hold no time of any clock. `janus_session` is for the bridges alone: a session id is a capability (docs/security.md).
CREATE TABLE IF NOT EXISTS version (
    table_name CHAR(32) NOT NULL,
    table_version INT UNSIGNED DEFAULT 0 NOT NULL,
    CONSTRAINT t_name_idx UNIQUE (table_name)
) ENGINE=InnoDB;

-- A bridge. state: 0 draining, 1 active, 2 over, 3 a peer has its sessions. epoch: of one life, and of no other of the
-- cluster. beat: one more every ping_interval.
INSERT INTO version (table_name, table_version) values ('janus_node','1');
CREATE TABLE janus_node (
    cluster_id INT(10) UNSIGNED NOT NULL,
    node_id INT(10) UNSIGNED NOT NULL,
    url VARCHAR(255) NOT NULL,
    state INT(1) UNSIGNED DEFAULT 1 NOT NULL,
    epoch BIGINT UNSIGNED DEFAULT 0 NOT NULL,
    beat BIGINT UNSIGNED DEFAULT 0 NOT NULL,
    PRIMARY KEY (cluster_id, node_id),
    CONSTRAINT janus_node_epoch_idx UNIQUE (cluster_id, epoch)
) ENGINE=InnoDB;

-- A session at a Janus, and the bridge that has it.
INSERT INTO version (table_name, table_version) values ('janus_session','1');
CREATE TABLE janus_session (
    cluster_id INT(10) UNSIGNED NOT NULL,
    session_id BIGINT UNSIGNED NOT NULL,
    janus_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    janus_url TEXT CHARACTER SET utf8mb4 NOT NULL,
    node_id INT(10) UNSIGNED NOT NULL,
    managed INT(1) UNSIGNED DEFAULT 0 NOT NULL,
    PRIMARY KEY (cluster_id, session_id, janus_id),
    KEY janus_session_node_idx (cluster_id, node_id)
) ENGINE=InnoDB;
