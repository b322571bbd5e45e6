BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('persons_2');
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at_ms BIGINT NOT NULL, 
	who TEXT NOT NULL, 
	what TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	detail TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (id)
);
INSERT INTO "audit" VALUES(1,1780455600000,'test','member.enrolled','senior-pass 100001','');
INSERT INTO "audit" VALUES(2,1780455600000,'test','member.enrolled','senior-pass 100002','');
INSERT INTO "audit" VALUES(3,1780455601000,'ingest','card.re-keyed','senior-pass','2');
CREATE TABLE card (
	id INTEGER NOT NULL, 
	member_id INTEGER NOT NULL, 
	programme TEXT NOT NULL, 
	credential TEXT NOT NULL, 
	scheme TEXT NOT NULL, 
	key_epoch INTEGER NOT NULL, 
	stopped_from_ms BIGINT, 
	stopped_why TEXT DEFAULT '' NOT NULL, 
	assigned_at_ms BIGINT NOT NULL, 
	assigned_by TEXT NOT NULL, superseded_at_ms BIGINT, successor INTEGER, 
	CONSTRAINT pk_card PRIMARY KEY (id), 
	CONSTRAINT fk_card_member_id FOREIGN KEY(member_id) REFERENCES member (id), 
	CONSTRAINT uq_card_programme_credential UNIQUE (programme, credential)
);
INSERT INTO "card" VALUES(1,1,'senior-pass','abababababababababababababababab','common-ap',2,NULL,'',1780455600000,'test',NULL,NULL);
INSERT INTO "card" VALUES(2,2,'senior-pass','e3e6b605b99e8306dda748a61e029a8a','common-ap',1,NULL,'',1780455600000,'test',NULL,NULL);
INSERT INTO "card" VALUES(3,1,'senior-pass','1f8f2b1a39f3c3e693114351dcbed407','common-ap',1,NULL,'',1780455600000,'test',1780455601000,1);
INSERT INTO "card" VALUES(4,2,'senior-pass','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','jpki-auth',1,NULL,'',1780455600000,'test',NULL,NULL);
CREATE TABLE member (
	id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	programme TEXT NOT NULL, 
	registration_number TEXT NOT NULL, 
	category TEXT DEFAULT '' NOT NULL, 
	valid_from DATE, 
	valid_to DATE, 
	stopped_from_ms BIGINT, 
	stopped_why TEXT DEFAULT '' NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	CONSTRAINT pk_member PRIMARY KEY (id), 
	CONSTRAINT fk_member_person_id FOREIGN KEY(person_id) REFERENCES person (id), 
	CONSTRAINT uq_member_programme_registration_number UNIQUE (programme, registration_number)
);
INSERT INTO "member" VALUES(1,1,'senior-pass','100001','resident','2026-04-01',NULL,NULL,'',1780455600000);
INSERT INTO "member" VALUES(2,2,'senior-pass','100002','','2026-04-01',NULL,NULL,'',1780455600000);
CREATE TABLE person (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	kana TEXT DEFAULT '' NOT NULL, 
	birth_date DATE, 
	updated_at_ms BIGINT NOT NULL, 
	CONSTRAINT pk_person PRIMARY KEY (id)
);
INSERT INTO "person" VALUES(1,'山田100001','ヤマダ','1945-04-01',1780455600000);
INSERT INTO "person" VALUES(2,'山田100002','',NULL,1780455600000);
CREATE TABLE programme_revision (
	programme TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	CONSTRAINT pk_programme_revision PRIMARY KEY (programme)
);
INSERT INTO "programme_revision" VALUES('senior-pass',3);
CREATE TABLE triage (
	id INTEGER NOT NULL, 
	programme TEXT NOT NULL, 
	credential TEXT NOT NULL, 
	scheme TEXT NOT NULL, 
	key_epoch INTEGER NOT NULL, 
	reader TEXT NOT NULL, 
	place TEXT NOT NULL, 
	journal TEXT NOT NULL, 
	n BIGINT NOT NULL, 
	at_ms BIGINT NOT NULL, 
	received_at_ms BIGINT NOT NULL, 
	CONSTRAINT pk_triage PRIMARY KEY (id), 
	CONSTRAINT uq_triage_programme_credential UNIQUE (programme, credential)
);
INSERT INTO "triage" VALUES(1,'senior-pass','5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c','common-ap',1,'kazasu-shi/desk-1','desk-1','e079d1b987376f07bcb81287fdc8c038',2,1780455600000,1780455671000);
INSERT INTO "triage" VALUES(2,'attendance','efefefefefefefefefefefefefefefef','felica-idm',1,'kazasu-shi/school-1','school-1','12121212121212121212121212121212',9,1780455600000,1780455600000);
CREATE INDEX ix_card_member_id ON card (member_id);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE INDEX ix_card_credential ON card (credential);
CREATE INDEX ix_card_successor ON card (successor) WHERE successor IS NOT NULL;
COMMIT;
