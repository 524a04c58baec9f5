-- The two tables of a cluster of bridges on one machine (docs/cluster.md), each with its row in the version table, beside
-- `janus`. They hold no time of any clock. `janus_session` is for the bridges alone: a session id is a capability.
CREATE TABLE IF NOT EXISTS version (
    table_name CHAR(32) NOT NULL,
    table_version INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT version_t_name_idx  UNIQUE (table_name)
);

-- A bridge. state: 0 draining, 1 active, 2 over, 3 a peer has its sessions. epoch: of one life, and of no other of the
-- cluster. beat: one more every ping_interval.
INSERT INTO version (table_name, table_version) values ('janus_node','1');
CREATE TABLE janus_node (
    cluster_id INTEGER NOT NULL,
    node_id INTEGER NOT NULL,
    url VARCHAR(255) NOT NULL,
    state INTEGER DEFAULT 1 NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    beat INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (cluster_id, node_id),
    CONSTRAINT janus_node_epoch_idx UNIQUE (cluster_id, epoch)
);

-- A session at a Janus, and the bridge that has it.
INSERT INTO version (table_name, table_version) values ('janus_session','1');
CREATE TABLE janus_session (
    cluster_id INTEGER NOT NULL,
    session_id INTEGER NOT NULL,
    janus_id VARCHAR(255) NOT NULL,
    janus_url TEXT NOT NULL,
    node_id INTEGER NOT NULL,
    managed INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (cluster_id, session_id, janus_id)
);
