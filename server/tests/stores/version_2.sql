-- SPDX-License-Identifier: Apache-2.0
-- A database as the second version of the program wrote it.
PRAGMA application_id = 1279480625;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE checkpoints (
    record_id INTEGER PRIMARY KEY REFERENCES requests ON DELETE CASCADE,
    checkpoint TEXT NOT NULL
) STRICT;
INSERT INTO "checkpoints" VALUES(9,'{"at":1}');
CREATE TABLE events (
    record_id INTEGER NOT NULL REFERENCES requests ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    frame TEXT NOT NULL,
    PRIMARY KEY (record_id, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "events" VALUES(1,1,'{"type":"acknowledgment","request_id":"low","seq":1,"status":"queued","created_at":"2027-01-15T08:00:00.000Z"}');
INSERT INTO "events" VALUES(2,1,'{"type":"acknowledgment","request_id":"high","seq":1,"status":"queued","created_at":"2027-01-15T08:00:01.000Z"}');
INSERT INTO "events" VALUES(3,1,'{"type":"acknowledgment","request_id":"delayed","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.000Z"}');
INSERT INTO "events" VALUES(4,1,'{"type":"acknowledgment","request_id":"b0","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.010Z"}');
INSERT INTO "events" VALUES(5,1,'{"type":"acknowledgment","request_id":"b1","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.010Z"}');
INSERT INTO "events" VALUES(6,1,'{"type":"acknowledgment","request_id":"b2","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.010Z"}');
INSERT INTO "events" VALUES(7,1,'{"type":"acknowledgment","request_id":"other","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.010Z"}');
INSERT INTO "events" VALUES(8,1,'{"type":"acknowledgment","request_id":"c0","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.010Z"}');
INSERT INTO "events" VALUES(9,1,'{"type":"acknowledgment","request_id":"running","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.020Z"}');
INSERT INTO "events" VALUES(9,2,'{"type":"status","request_id":"running","seq":2,"status":"processing","attempt":1,"chunks_kept_to":0}');
INSERT INTO "events" VALUES(9,3,'{"type":"chunk","request_id":"running","seq":3,"attempt":1,"data":"one"}');
INSERT INTO "events" VALUES(10,1,'{"type":"acknowledgment","request_id":"done","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.020Z"}');
INSERT INTO "events" VALUES(10,2,'{"type":"status","request_id":"done","seq":2,"status":"processing","attempt":1,"chunks_kept_to":0}');
INSERT INTO "events" VALUES(10,3,'{"type":"chunk","request_id":"done","seq":3,"attempt":1,"data":"x"}');
INSERT INTO "events" VALUES(10,4,'{"type":"complete","request_id":"done","seq":4,"result":{"rows":1}}');
INSERT INTO "events" VALUES(11,1,'{"type":"acknowledgment","request_id":"failed","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.020Z"}');
INSERT INTO "events" VALUES(11,2,'{"type":"status","request_id":"failed","seq":2,"status":"processing","attempt":1,"chunks_kept_to":0}');
INSERT INTO "events" VALUES(11,3,'{"type":"error","request_id":"failed","seq":3,"error":{"code":"HANDLER_ERROR","message":"no luck","retryable":true}}');
INSERT INTO "events" VALUES(12,1,'{"type":"acknowledgment","request_id":"retrying","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.020Z"}');
INSERT INTO "events" VALUES(12,2,'{"type":"status","request_id":"retrying","seq":2,"status":"processing","attempt":1,"chunks_kept_to":0}');
INSERT INTO "events" VALUES(12,3,'{"type":"status","request_id":"retrying","seq":3,"status":"retrying","attempt":1,"chunks_kept_to":0,"retry_at":"2027-01-15T08:00:02.520Z","error":{"code":"HANDLER_ERROR","message":"no luck","retryable":true}}');
INSERT INTO "events" VALUES(14,1,'{"type":"acknowledgment","request_id":"cancelled","seq":1,"status":"queued","created_at":"2027-01-15T08:00:02.020Z"}');
INSERT INTO "events" VALUES(14,2,'{"type":"error","request_id":"cancelled","seq":2,"error":{"code":"CANCELLED","message":"The request was cancelled.","retryable":false,"details":{"reason":"enough"}}}');
CREATE TABLE owners (
    owner_id INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    sub TEXT NOT NULL,
    in_flight INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, sub)
) STRICT;
INSERT INTO "owners" VALUES(1,'acme','alice',5);
INSERT INTO "owners" VALUES(2,'acme','bob',3);
INSERT INTO "owners" VALUES(3,'bolt','alice',1);
INSERT INTO "owners" VALUES(4,'acme','carol',1);
CREATE TABLE payloads (
    record_id INTEGER PRIMARY KEY REFERENCES requests ON DELETE CASCADE,
    payload TEXT NOT NULL
) STRICT;
INSERT INTO "payloads" VALUES(1,'{"n":1}');
INSERT INTO "payloads" VALUES(2,'{}');
INSERT INTO "payloads" VALUES(3,'{}');
INSERT INTO "payloads" VALUES(4,'{}');
INSERT INTO "payloads" VALUES(5,'{}');
INSERT INTO "payloads" VALUES(6,'{}');
INSERT INTO "payloads" VALUES(7,'{}');
INSERT INTO "payloads" VALUES(8,'{}');
INSERT INTO "payloads" VALUES(9,'{}');
INSERT INTO "payloads" VALUES(10,'{}');
INSERT INTO "payloads" VALUES(11,'{}');
INSERT INTO "payloads" VALUES(12,'{}');
INSERT INTO "payloads" VALUES(14,'{}');
CREATE TABLE progress (
    record_id INTEGER PRIMARY KEY REFERENCES requests ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
INSERT INTO "progress" VALUES(9,1,3,'{"attempt": 1, "version": 3, "percentage": 50}');
CREATE TABLE requests (
    record_id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES owners,
    id TEXT NOT NULL,
    action TEXT NOT NULL,
    digest TEXT NOT NULL,
    submission TEXT NOT NULL,
    max_attempts INTEGER NOT NULL,
    backoff_initial_ms INTEGER NOT NULL,
    backoff_max_ms INTEGER NOT NULL,
    metadata TEXT,
    priority INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    deadline_at INTEGER,
    last_seq INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL,
    chunks_kept_to INTEGER NOT NULL,
    cancel_grace_ms INTEGER NOT NULL,
    retention_ms INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    cancel_reason TEXT,
    files TEXT,
    requeued_from TEXT,
    callback_url TEXT,
    traceparent TEXT,
    lease_worker TEXT,
    lease_expires_at INTEGER,
    finished_at INTEGER,
    expires_at INTEGER,
    last_operation INTEGER NOT NULL,
    ended_attempt INTEGER NOT NULL,
    is_ready INTEGER,     -- 1: due, claims look at it; 0: waits for due_at; NULL: runs or has ended
    sweep_at INTEGER, tenant_id TEXT NOT NULL DEFAULT '', rank INTEGER NOT NULL DEFAULT 0,     -- when a sweep must look at it next
    UNIQUE (owner_id, id)
) STRICT;
INSERT INTO "requests" VALUES(1,1,'low','report','6c7c75ac3b81040a03f0a9cdeda9f43d77bbb2a247e3589d07422d1b6e0cd3dc','submission-of-low',3,1000,60000,'{"k": "v"}',1,'queued',0,0,1800000000000,1800000000000,1800000000000,NULL,1,125,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,1,NULL,'acme',1799999940000);
INSERT INTO "requests" VALUES(2,1,'high','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-high',3,1000,60000,NULL,9,'queued',0,0,1800000001000,1800000001000,1800000001000,NULL,1,126,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,1,NULL,'acme',1799999461000);
INSERT INTO "requests" VALUES(3,1,'delayed','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-delayed',3,1000,60000,NULL,5,'queued',0,0,1800000002000,1800000002000,1800000062000,NULL,1,129,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,'acme',1799999762000);
INSERT INTO "requests" VALUES(4,2,'b0','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-b0',3,1000,60000,NULL,5,'queued',0,0,1800000002010,1800000002010,1800000002010,NULL,1,124,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,1,NULL,'acme',1799999702010);
INSERT INTO "requests" VALUES(5,2,'b1','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-b1',3,1000,60000,NULL,5,'queued',0,0,1800000002010,1800000002010,1800000002010,NULL,1,124,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,1,NULL,'acme',1799999702010);
INSERT INTO "requests" VALUES(6,2,'b2','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-b2',3,1000,60000,NULL,5,'queued',0,0,1800000002010,1800000002010,1800000002010,NULL,1,124,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,1,NULL,'acme',1799999702010);
INSERT INTO "requests" VALUES(7,3,'other','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-other',3,1000,60000,NULL,5,'queued',0,0,1800000002010,1800000002010,1800000002010,NULL,1,127,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,1,NULL,'bolt',1799999702010);
INSERT INTO "requests" VALUES(8,4,'c0','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-c0',3,1000,60000,NULL,5,'queued',0,0,1800000002010,1800000002010,1800000002010,NULL,1,124,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,1,NULL,'acme',1799999702010);
INSERT INTO "requests" VALUES(9,1,'running','action-of-running','68ffa31b0780b9c477f830b8fa5590f1c826a163215e5660a89b54d431c854c3','submission-of-running',3,1000,60000,NULL,5,'processing',1,0,1800000002020,1800000002020,1800000002020,NULL,3,332,3,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,'worker-1',1800000032020,NULL,NULL,1,0,NULL,1800000032020,'acme',1799999702020);
INSERT INTO "requests" VALUES(10,1,'done','action-of-done','f6cdc8e0a0e1d5314ce3e9e8c95325d50e7c23de9e1dffc1b61c0aec2f1acf59','submission-of-done',3,1000,60000,NULL,5,'completed',1,0,1800000002020,1800000002020,1800000002020,NULL,4,403,0,10000,86400000,NULL,NULL,'[{"name": "a.txt", "media_type": "text/plain", "size": 3, "sha256": "abababababababababababababababababababababababababababababababab", "location": "loc/a.txt"}]',NULL,NULL,NULL,NULL,NULL,1800000002020,1800086402020,1,1,NULL,1800086402020,'acme',1799999702020);
INSERT INTO "requests" VALUES(11,1,'failed','action-of-failed','db98299213b0adbbdb8f3c118417ebd0db074cd15e4f893ebf7d58cc73f93e76','submission-of-failed',3,1000,60000,NULL,5,'failed',1,1,1800000002020,1800000002020,1800000002020,NULL,3,374,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1800000002020,1800086402020,0,1,NULL,1800086402020,'acme',1799999702020);
INSERT INTO "requests" VALUES(12,1,'retrying','action-of-retrying','196499dfa3b4962a9736637057d9f1e81ccd8db6e80003408365af9fdfb85c03','submission-of-retrying',3,1000,60000,NULL,5,'retrying',1,1,1800000002020,1800000002020,1800000002520,NULL,3,470,0,10000,86400000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1,0,NULL,'acme',1799999702020);
INSERT INTO "requests" VALUES(14,1,'cancelled','report','36b5a4b573dd95b05637651a9a65d761ff826bd42b1f7757ba76eae0d641b662','submission-of-cancelled',3,1000,60000,NULL,5,'cancelled',0,0,1800000002020,1800000002020,1800000002020,NULL,2,311,0,10000,86400000,1800000002020,'enough',NULL,NULL,NULL,NULL,NULL,NULL,1800000002020,1800086402020,0,0,NULL,1800086402020,'acme',1799999702020);
CREATE TABLE tombstones (
    owner_id INTEGER NOT NULL REFERENCES owners,
    id TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (owner_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "tombstones" VALUES(1,'gone','4a41a58b1f1e51d096a3c77fe74670a4a47c18219d5b6c0d8cb5ff5aa1dc82d3',1800000002020,1800604802020);
CREATE INDEX requests_listed ON requests (owner_id, created_at, id);
CREATE INDEX requests_waiting ON requests (due_at) WHERE is_ready = 0;
CREATE INDEX requests_swept ON requests (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE INDEX tombstones_forgotten ON tombstones (expires_at);
CREATE INDEX requests_ready
    ON requests (action, tenant_id, rank, record_id, deadline_at, is_ready) WHERE is_ready = 1;
CREATE INDEX requests_leased ON requests (lease_worker, tenant_id, action)
    WHERE lease_worker IS NOT NULL;
CREATE INDEX requests_dead ON requests (finished_at) WHERE status = 'failed';
CREATE INDEX requests_dead_ids ON requests (id, finished_at) WHERE status = 'failed';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('requests',14);
COMMIT;
