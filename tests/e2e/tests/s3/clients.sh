#!/bin/bash
# clients.sh CLIENT: what people do with it, in a bucket of its own, with its default settings. ENDPOINT, AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY say where; the current folder is its own.
set -eu
client=$1
host=${ENDPOINT#http://}
export AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL=$ENDPOINT HOME=$PWD
mkdir -p tree/dir/deeper
head -c 1000 /dev/urandom >tree/small
head -c 23000000 /dev/urandom >tree/dir/large
printf 'with a space' >'tree/dir/deeper/ä name+%'
: >tree/empty

fail() { echo "$client: $*" >&2; exit 1; }
same() { diff -r tree "$1" || fail "what came back is another tree"; }

aws_cli() {
  s3() { aws --endpoint-url "$ENDPOINT" s3 "$@"; }
  api() { aws --endpoint-url "$ENDPOINT" s3api "$@"; }
  s3 mb s3://aws >/dev/null
  s3 cp --recursive --quiet tree s3://aws/tree
  [ "$(s3 ls --recursive s3://aws | wc -l)" = 4 ] || fail "not four objects"
  [ "$(s3 ls s3://aws/tree/ | wc -l)" = 3 ] || fail "not a prefix and two objects"
  s3 cp --recursive --quiet s3://aws/tree back && same back
  [ -z "$(s3 sync tree s3://aws/tree)" ] || fail "sync puts what is there"
  s3 cp --quiet s3://aws/tree/dir/large s3://aws/copy && s3 cp --quiet s3://aws/copy - | cmp - tree/dir/large
  curl -sS --fail "$(s3 presign s3://aws/tree/small)" | cmp - tree/small
  for algorithm in CRC32 SHA1 SHA256; do
    api put-object --bucket aws --key sum --body tree/small --checksum-algorithm $algorithm >/dev/null
    api get-object --bucket aws --key sum --checksum-mode ENABLED got | grep -q "Checksum$algorithm" || fail "no $algorithm"
    cmp got tree/small
  done
  etag=$(api head-object --bucket aws --key sum --query ETag --output text)
  api get-object --bucket aws --key sum --if-match "$etag" got >/dev/null
  ! api get-object --bucket aws --key sum --if-none-match "$etag" got 2>/dev/null || fail "it was not changed"
  s3 rm --recursive --quiet s3://aws && s3 rb s3://aws >/dev/null
}

rclone_() {
  cat >rclone.conf <<END
[r]
type = s3
provider = Other
env_auth = true
endpoint = $ENDPOINT
END
  r() { rclone --config rclone.conf "$@"; }
  r mkdir r:rclone
  r copy tree r:rclone/tree
  r check tree r:rclone/tree 2>/dev/null || fail "hashes differ"
  r check --download tree r:rclone/tree 2>/dev/null || fail "bytes differ"
  r copy r:rclone/tree back && same back
  [ "$(r lsf -R --files-only r:rclone | wc -l)" = 4 ] || fail "not four objects"
  # Times are kept, so that nothing is to be done.
  r sync tree r:rclone/tree --stats-one-line --stats 0 -v 2>&1 | grep -q "0 B / 0 B\|There was nothing to transfer" || fail "sync does it again"
  curl -sS --fail "$(r link r:rclone/tree/small)" | cmp - tree/small
  r moveto r:rclone/tree/small r:rclone/moved && r cat r:rclone/moved | cmp - tree/small
  r purge r:rclone
}

s3cmd_() {
  s() { s3cmd --config=/dev/null --no-ssl --host="$host" --host-bucket="$host" --region=us-east-1 \
    --access_key="$AWS_ACCESS_KEY_ID" --secret_key="$AWS_SECRET_ACCESS_KEY" --no-progress "$@"; }
  s mb s3://s3cmd >/dev/null
  s put --recursive tree s3://s3cmd/ >/dev/null
  [ "$(s ls --recursive s3://s3cmd | wc -l)" = 4 ] || fail "not four objects"
  mkdir back && s get --recursive s3://s3cmd/tree/ back/ >/dev/null && same back
  s sync tree/ s3://s3cmd/tree/ | grep -q "^upload:" && fail "sync puts what is there"
  s info s3://s3cmd/tree/dir/large | grep -q "MD5 sum" || fail "no sums"
  curl -sS --fail "$(s signurl s3://s3cmd/tree/small +600)" | cmp - tree/small
  s cp s3://s3cmd/tree/small s3://s3cmd/copy >/dev/null && s get s3://s3cmd/copy - 2>/dev/null | cmp - tree/small
  s setacl --acl-public s3://s3cmd/copy >/dev/null && curl -sS --fail "$ENDPOINT/s3cmd/copy" | cmp - tree/small
  s del --recursive --force s3://s3cmd >/dev/null && s rb s3://s3cmd >/dev/null
}

s3fs_() {
  [ -e /dev/fuse ] || fail "needs /dev/fuse"
  echo "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" >passwd && chmod 600 passwd
  mkdir mnt
  s3fs s3fs mnt -o passwd_file="$PWD/passwd",url="$ENDPOINT",use_path_request_style
  trap 'umount -l mnt' EXIT
  cp -r tree mnt/ && same mnt/tree
  echo more >>mnt/tree/small && [ "$(tail -c 5 mnt/tree/small)" = more ]
  mv mnt/tree/small mnt/tree/dir/moved && [ -e mnt/tree/dir/moved ] && [ ! -e mnt/tree/small ]
  ln -s tree mnt/link && [ "$(readlink mnt/link)" = tree ]
  chmod 600 mnt/tree/empty && [ "$(stat -c %a mnt/tree/empty)" = 600 ]
  rm -r mnt/tree mnt/link && [ -z "$(ls mnt)" ]
}

case $client in
aws) aws_cli ;;
rclone | s3cmd | s3fs) "${client}_" ;;
esac
echo done
