import sqlite3

with sqlite3.connect("data.db") as db:
    db.execute("create table t (n integer primary key, s text)")
    db.executemany("insert into t (s) values (?)", [(str(n),) for n in range(1000)])
    db.execute("create index by_s on t (s)")
assert db.execute("select count(*), max(n) from t where s like '9%'").fetchone() == (111, 1000)
db.execute("vacuum")
db.close()
db = sqlite3.connect("data.db")
assert db.execute("pragma integrity_check").fetchone() == ("ok",)
