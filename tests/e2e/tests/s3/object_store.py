"""The crate `object_store`, by its Python package `obstore`: what engines that read tables do."""

import asyncio
import os

import obstore
from obstore.store import S3Store

import boto3
from botocore.config import Config

config = Config(s3={"addressing_style": "path"})
boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], config=config).create_bucket(Bucket="objects")
store = S3Store(
    "objects",
    endpoint=os.environ["ENDPOINT"],
    region="us-east-1",
    client_options={"allow_http": True},
)
data = os.urandom(100_000)
put = obstore.put(store, "a/b c/ä", data)
got = obstore.get(store, "a/b c/ä")
assert bytes(got.bytes()) == data and got.meta["e_tag"] == put["e_tag"]
assert bytes(obstore.get_range(store, "a/b c/ä", start=10, end=20)) == data[10:20]
ranges = obstore.get_ranges(store, "a/b c/ä", starts=[0, 50_000], ends=[5, 50_005])
assert [bytes(part) for part in ranges] == [data[:5], data[50_000:50_005]]

large = os.urandom(23_000_000)
obstore.put(store, "large", large, use_multipart=True, chunk_size=6 << 20)
assert bytes(obstore.get(store, "large").bytes()) == large

# Conditions: made once, and replaced as it was seen.
try:
    obstore.put(store, "a/b c/ä", b"x", mode="create")
    raise AssertionError("it is there already")
except obstore.exceptions.AlreadyExistsError:
    pass
obstore.put(store, "new", b"1", mode="create")
seen = obstore.head(store, "new")
obstore.put(store, "new", b"2", mode={"e_tag": seen["e_tag"]})
try:
    obstore.put(store, "new", b"3", mode={"e_tag": seen["e_tag"]})
    raise AssertionError("it is another one by now")
except obstore.exceptions.PreconditionError:
    pass
assert bytes(obstore.get(store, "new").bytes()) == b"2"

listed = [item["path"] for page in obstore.list(store) for item in page]
assert listed == ["a/b c/ä", "large", "new"], listed
assert obstore.list_with_delimiter(store)["common_prefixes"] == ["a"]
obstore.copy(store, "new", "copy")
obstore.rename(store, "copy", "moved")
url = obstore.sign(store, "GET", "moved", __import__("datetime").timedelta(minutes=5))
assert __import__("urllib.request").request.urlopen(url).read() == b"2"


async def many():
    await asyncio.gather(*(obstore.put_async(store, f"many/{n}", b"x" * n) for n in range(200)))
    return [bytes(await (await obstore.get_async(store, f"many/{n}")).bytes_async()) for n in range(200)]


assert asyncio.run(many()) == [b"x" * n for n in range(200)]
obstore.delete(store, [item["path"] for page in obstore.list(store) for item in page])
assert not [item for page in obstore.list(store) for item in page]
print("done")
