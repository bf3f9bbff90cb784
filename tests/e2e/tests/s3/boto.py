"""Buckets, objects, listings, uploads, conditions, versions and presigned requests, as programs use them."""

import hashlib
import os
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

path_style = Config(signature_version="s3v4", s3={"addressing_style": "path"})
s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], config=path_style)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError(f"{code} was expected")


def md5(data):
    return '"%s"' % hashlib.md5(data).hexdigest()


s3.create_bucket(Bucket="bucket")
assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["bucket"]

# Objects of all sizes, with what comes with them.
for size in (0, 1, 4096, 4097, 70_000, 3_000_000):
    data = os.urandom(size)
    put = s3.put_object(
        Bucket="bucket", Key=f"sizes/{size}", Body=data, ContentType="text/x", Metadata={"meta": "data"}
    )
    assert put["ETag"] == md5(data), size
    got = s3.get_object(Bucket="bucket", Key=f"sizes/{size}")
    assert got["Body"].read() == data and got["ETag"] == md5(data), size
    assert (got["ContentType"], got["Metadata"], got["ContentLength"]) == ("text/x", {"meta": "data"}, size)
data = os.urandom(3_000_000)
s3.put_object(Bucket="bucket", Key="big", Body=data, ChecksumAlgorithm="SHA256", Tagging="a=b")
part = s3.get_object(Bucket="bucket", Key="big", Range="bytes=1000-2000999")
assert part["Body"].read() == data[1000:2001000] and part["ContentRange"] == "bytes 1000-2000999/3000000"
head = s3.head_object(Bucket="bucket", Key="big", ChecksumMode="ENABLED")
assert head["ContentLength"] == len(data) and head["ChecksumSHA256"]
assert s3.get_object_tagging(Bucket="bucket", Key="big")["TagSet"] == [{"Key": "a", "Value": "b"}]
refused("NoSuchKey", s3.get_object, Bucket="bucket", Key="none")

# Copies keep what is kept.
s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "big"})
copy = s3.get_object(Bucket="bucket", Key="copy")
assert copy["Body"].read() == data and copy["ETag"] == md5(data)
assert s3.get_object_tagging(Bucket="bucket", Key="copy")["TagSet"] == [{"Key": "a", "Value": "b"}]

# Conditions.
s3.put_object(Bucket="bucket", Key="once", Body=b"1", IfNoneMatch="*")
refused("PreconditionFailed", s3.put_object, Bucket="bucket", Key="once", Body=b"2", IfNoneMatch="*")
refused("PreconditionFailed", s3.put_object, Bucket="bucket", Key="once", Body=b"2", IfMatch=md5(b"other"))
s3.put_object(Bucket="bucket", Key="once", Body=b"2", IfMatch=md5(b"1"))
refused("304", s3.get_object, Bucket="bucket", Key="once", IfNoneMatch=md5(b"2"))

# Listings, in pages of each size.
names = ["l/a-b", "l/a/1", "l/a/2", "l/a0", "l/b", "l/\u00e4 +%"]
for name in names:
    s3.put_object(Bucket="bucket", Key=name, Body=b"x")
names.sort(key=str.encode)
for page in (1, 2, 5, 1000):
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="bucket", Prefix="l/", PaginationConfig={"PageSize": page}
    )
    assert [o["Key"] for p in pages for o in p.get("Contents", [])] == names, page
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="bucket", Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": page}
    )
    found = [
        x for p in pages for x in [o["Key"] for o in p.get("Contents", [])]
        + [c["Prefix"] for c in p.get("CommonPrefixes", [])]
    ]
    assert sorted(found) == sorted([n for n in names if not n.startswith("l/a/")] + ["l/a/"]), page

# An upload in parts, in any order, one of them twice, one of them copied.
upload = s3.create_multipart_upload(Bucket="bucket", Key="parts/whole")["UploadId"]
blocks = [os.urandom(5 << 20), os.urandom((5 << 20) + 1), os.urandom(100)]
etags = {}
for number in (3, 1, 2, 1):
    made = s3.upload_part(
        Bucket="bucket", Key="parts/whole", UploadId=upload, PartNumber=number, Body=blocks[number - 1]
    )
    etags[number] = made["ETag"]
copied = s3.upload_part_copy(
    Bucket="bucket", Key="parts/whole", UploadId=upload, PartNumber=4,
    CopySource={"Bucket": "bucket", "Key": "big"}, CopySourceRange="bytes=5-104",
)
refused("EntityTooSmall", s3.complete_multipart_upload, Bucket="bucket", Key="parts/whole", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 3, "ETag": etags[3]},
                                   {"PartNumber": 4, "ETag": copied["CopyPartResult"]["ETag"]}]})
assert len(s3.list_parts(Bucket="bucket", Key="parts/whole", UploadId=upload)["Parts"]) == 4
assert len(s3.list_multipart_uploads(Bucket="bucket")["Uploads"]) == 1
parts = [{"PartNumber": number, "ETag": etags[number]} for number in (1, 2, 3)]
done = s3.complete_multipart_upload(
    Bucket="bucket", Key="parts/whole", UploadId=upload, MultipartUpload={"Parts": parts}
)
whole = b"".join(blocks)
digest = hashlib.md5(b"".join(hashlib.md5(block).digest() for block in blocks)).hexdigest()
assert done["ETag"] == f'"{digest}-3"'
assert s3.get_object(Bucket="bucket", Key="parts/whole")["Body"].read() == whole
second = s3.get_object(Bucket="bucket", Key="parts/whole", PartNumber=2)
assert second["Body"].read() == blocks[1] and second["PartsCount"] == 3
assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")
abandoned = s3.create_multipart_upload(Bucket="bucket", Key="never")["UploadId"]
s3.upload_part(Bucket="bucket", Key="never", UploadId=abandoned, PartNumber=1, Body=b"x")
s3.abort_multipart_upload(Bucket="bucket", Key="never", UploadId=abandoned)
refused("NoSuchUpload", s3.list_parts, Bucket="bucket", Key="never", UploadId=abandoned)

# Who has no key sees what a policy shows, and what is presigned.
url = f"{os.environ['ENDPOINT']}/bucket/once"
try:
    urllib.request.urlopen(url)
    raise AssertionError("it is private")
except urllib.error.HTTPError as error:
    assert error.code == 403, error
presigned = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "once"}, ExpiresIn=60)
assert urllib.request.urlopen(presigned).read() == b"2"
put = s3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "presigned"}, ExpiresIn=60)
urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT"))
assert s3.get_object(Bucket="bucket", Key="presigned")["Body"].read() == b"by url"
s3.put_bucket_policy(
    Bucket="bucket",
    Policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
    '"Resource":"arn:aws:s3:::bucket/once"}]}',
)
assert urllib.request.urlopen(url).read() == b"2"
s3.delete_bucket_policy(Bucket="bucket")

# A form of a browser, with tags.
fields = {"tagging": "<Tagging><TagSet><Tag><Key>from</Key><Value>a form</Value></Tag></TagSet></Tagging>"}
conditions = [["starts-with", "$tagging", ""]]
form = s3.generate_presigned_post("bucket", "form", Fields=fields, Conditions=conditions)
mark = "a-mark-between-fields"
lines = "".join(
    f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    for name, value in form["fields"].items()
)
lines += f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--{mark}--\r\n'
headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
urllib.request.urlopen(urllib.request.Request(form["url"], lines.encode(), headers))
assert s3.get_object(Bucket="bucket", Key="form")["Body"].read() == b"content"
assert s3.get_object_tagging(Bucket="bucket", Key="form")["TagSet"] == [{"Key": "from", "Value": "a form"}]

# A form that asks for encryption.
fields = {"x-amz-server-side-encryption": "AES256"}
form = s3.generate_presigned_post("bucket", "encrypted", Fields=fields, Conditions=[fields])
lines = "".join(
    f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    for name, value in form["fields"].items()
)
lines += f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--{mark}--\r\n'
try:
    urllib.request.urlopen(urllib.request.Request(form["url"], lines.encode(), headers))
    raise AssertionError("encryption was not refused")
except urllib.error.HTTPError as error:
    assert error.code == 501 and b"<Code>NotImplemented</Code>" in error.read(), error.code

# Versions.
s3.create_bucket(Bucket="versions")
s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
ids = [s3.put_object(Bucket="versions", Key="d/k", Body=b"%d" % n)["VersionId"] for n in range(3)]
s3.delete_object(Bucket="versions", Key="d/k")
refused("NoSuchKey", s3.get_object, Bucket="versions", Key="d/k")
for number, version in enumerate(ids):
    got = s3.get_object(Bucket="versions", Key="d/k", VersionId=version)
    assert got["Body"].read() == b"%d" % number
listed = s3.list_object_versions(Bucket="versions")
assert [version["VersionId"] for version in listed["Versions"]] == ids[::-1]
[marker] = listed["DeleteMarkers"]
assert marker["IsLatest"]
s3.delete_object(Bucket="versions", Key="d/k", VersionId=marker["VersionId"])
assert s3.get_object(Bucket="versions", Key="d/k")["Body"].read() == b"2"
s3.delete_object(Bucket="versions", Key="d/k", VersionId=ids[2])
assert s3.get_object(Bucket="versions", Key="d/k")["Body"].read() == b"1"
refused("BucketNotEmpty", s3.delete_bucket, Bucket="versions")
for version in ids[:2]:
    s3.delete_object(Bucket="versions", Key="d/k", VersionId=version)
s3.delete_bucket(Bucket="versions")

# And away with it.
keys = [{"Key": o["Key"]} for o in s3.list_objects_v2(Bucket="bucket")["Contents"]]
gone = s3.delete_objects(Bucket="bucket", Delete={"Objects": keys})
assert len(gone["Deleted"]) == len(keys) and "Errors" not in gone
s3.delete_bucket(Bucket="bucket")
refused("NoSuchBucket", s3.list_objects_v2, Bucket="bucket")
print("done")
