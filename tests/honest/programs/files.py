import bz2, gzip, lzma, mmap, os, pathlib, shutil, stat, tarfile, tempfile, zipfile

data = os.urandom(5000) + bytes(5000)
for module in (gzip, bz2, lzma):
    with module.open("packed", "wb") as out:
        out.write(data)
    with module.open("packed", "rb") as packed:
        assert packed.read() == data
os.makedirs("tree/a/b")
pathlib.Path("tree/a/one").write_bytes(data)
pathlib.Path("tree/a/b/two").write_text("zwei", encoding="utf-8")
shutil.copy2("tree/a/one", "tree/copy")
assert os.stat("tree/copy").st_mtime_ns == os.stat("tree/a/one").st_mtime_ns
os.chmod("tree/copy", 0o640)
# The latter where a run has the server's user and sees its files: no mode changes there.
assert stat.S_IMODE(os.stat("tree/copy").st_mode) in (0o640, 0o600)
shutil.copytree("tree", "forest", symlinks=True)
shutil.move("forest", "wood")
assert sorted(path.name for path in pathlib.Path("wood").rglob("*") if path.is_file()) == ["copy", "one", "two"]
shutil.make_archive("tree", "gztar", "tree")
with tarfile.open("tree.tar.gz") as archive:
    archive.extractall("untarred")
with zipfile.ZipFile("some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write("tree/a/one")
with zipfile.ZipFile("some.zip") as archive:
    archive.extractall("unzipped")
    assert archive.testzip() is None
with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile(dir=directory) as file:
    file.write(data)
    file.flush()
    assert os.path.getsize(file.name) == len(data)
with tempfile.TemporaryFile() as file, tempfile.SpooledTemporaryFile(10) as spooled:
    file.write(data)
    spooled.write(data)
with open("tree/a/one", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[:3] = b"abc"
    mapped.flush()
os.symlink("copy", "tree/link")
assert os.readlink("tree/link") == "copy" and os.path.realpath("tree/link").endswith("/copy")
os.rename("tree/link", "tree/renamed")
os.utime("tree/copy", (1, 2))
os.truncate("tree/copy", 10)
assert [entry.name for entry in os.scandir("tree/a/b")] == ["two"] and len(list(os.walk("tree"))) == 3
shutil.rmtree("tree")
