"""boto3 over HTTPS, with a certificate that it was told to trust, and a bucket that wants nothing else."""

import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

config = Config(s3={"addressing_style": "path"})
s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"], config=config)
plain = boto3.client("s3", endpoint_url=os.environ["PLAIN"], config=config)
s3.create_bucket(Bucket="bucket")
for size in (0, 1, 70_000, 9_000_000):
    data = os.urandom(size)
    s3.put_object(Bucket="bucket", Key="key", Body=data)
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == data
    assert plain.get_object(Bucket="bucket", Key="key")["Body"].read() == data
statement = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::bucket/*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
s3.get_object(Bucket="bucket", Key="key")
try:
    plain.get_object(Bucket="bucket", Key="key")
    raise AssertionError("without HTTPS it is refused")
except ClientError as error:
    assert error.response["Error"]["Code"] == "AccessDenied", error
