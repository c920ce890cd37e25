import ast, csv, dataclasses, datetime, decimal, fractions, hashlib, hmac, inspect, io, itertools, json, locale, pickle
import random, re, secrets, statistics, string, textwrap, traceback, typing, uuid, zlib, zoneinfo
from xml.etree import ElementTree

decimal.getcontext().prec = 50
assert str(decimal.Decimal(2).sqrt()).startswith("1.4142135623730950488016887242096980785696718753")
assert fractions.Fraction("0.125") == fractions.Fraction(1, 8) and statistics.median([1, 5, 2]) == 2
noon = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo"))
assert noon.astimezone(zoneinfo.ZoneInfo("Europe/Paris")).hour == 5 and len(zoneinfo.available_timezones()) > 300
locale.setlocale(locale.LC_ALL, "")
assert locale.format_string("%d", 7) == "7"
assert re.findall(r"(?<=\$)\d+", "$12 and $7") == ["12", "7"]
assert hashlib.sha256(b"a").hexdigest().startswith("ca978112") and len(hashlib.scrypt(b"a", salt=b"b", n=2, r=1, p=1)) == 64
assert hmac.compare_digest(hmac.digest(b"k", b"m", "sha1"), hmac.digest(b"k", b"m", "sha1"))
assert uuid.uuid4() != uuid.uuid4() and uuid.uuid1().version == 1 and len(secrets.token_hex(8)) == 16
assert random.choice(string.ascii_letters) and random.SystemRandom().random() < 1
assert zlib.decompress(zlib.compress(b"x" * 100)) == b"x" * 100 and pickle.loads(pickle.dumps({1})) == {1}
assert list(csv.reader(io.StringIO("a,'b'\n")))[0][0] == "a" and json.loads("[1]") == [1]
assert ElementTree.fromstring("<a><b/></a>").find("b") is not None and ast.literal_eval("{1: 2}") == {1: 2}


@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: typing.Optional[int] = None


def area(a: Point) -> int:
    return a.x * (a.y or 0)


assert Point(1, 2) < Point(2) and dataclasses.asdict(Point(3)) == {"x": 3, "y": None}
assert inspect.getsource(area) == "def area(a: Point) -> int:\n    return a.x * (a.y or 0)\n"
assert typing.get_type_hints(area)["a"] is Point and len(list(itertools.permutations("abc"))) == 6
try:
    area(None)
except AttributeError:
    assert "return a.x * (a.y or 0)" in traceback.format_exc()
assert textwrap.dedent("  a") == "a"
