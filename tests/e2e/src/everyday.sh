#!/bin/bash
# everyday TREE SCRATCH SIZE: programs that people run, in TREE of the file system that is tested; SCRATCH is on another
# one. Prints "PART SECONDS" for each part that is well; the first that is not ends it.
set -Eeuo pipefail
part=
trap 'echo "everyday: $part: line $LINENO: status $? of $BASH_COMMAND" >&2' ERR
tree=$1 scratch=$2 size=$3
mkdir -p "$tree" "$scratch"
export HOME=$scratch GIT_CONFIG_NOSYSTEM=1 LC_ALL=C
failed() { echo "everyday: $part: $*" >&2; exit 1; }
same() { diff -r --no-dereference "$@" >&2 || failed "$* differ"; }
whole() {
  git -C "$1" fsck --full --strict --no-progress >"$scratch/said" 2>&1 || failed "git fsck of $1: $(cat "$scratch/said")"
}
text() { seq "$1" "$(($1 * 13 + 40))"; }

git_() { # A clone is whole, and goes on living here.
  local files=$((30 * size))
  git config --global user.email a@b
  git config --global user.name ab
  git config --global init.defaultBranch main
  git config --global safe.directory '*'
  git init -q "$scratch/source"
  (
    cd "$scratch/source"
    for i in $(seq $files); do mkdir -p d$((i % 7)); text "$i" >d$((i % 7))/f$i; done
    git add .
    git commit -qm one
    for i in $(seq 1 9 $files); do echo more >>d$((i % 7))/f$i; done
    git commit -qam two
  )
  git clone -q --no-local "$scratch/source" clone
  cd clone
  whole .
  [ -z "$(git status --porcelain)" ] || failed "a fresh clone has changes"
  git checkout -q HEAD~1
  git checkout -qb side
  for i in $(seq 1 5 $files); do git mv d$((i % 7))/f$i moved$i; done
  git commit -qm moved
  git checkout -q main
  git merge -q --no-edit side
  git gc -q
  whole .
  git push -q origin side
  whole "$scratch/source"
  git checkout -q HEAD~1
  (cd "$scratch/source" && git checkout -q main)
  git checkout -q origin/main
  same -x .git . "$scratch/source"
}

tar_() { # What was packed comes out, with its times, modes, links and holes.
  mkdir "$scratch/packed"
  (
    cd "$scratch/packed"
    mkdir -p a/b/c
    ln -s a/b link
    mkfifo fifo
    for i in $(seq $((60 * size))); do head -c $((i * 37)) /dev/urandom >a/b/f$i; done
    ln a/b/f1 hard
    chmod 0640 a/b/f2
    touch -d '2001-02-03 04:05:06.789' a/b/f3
    truncate -s 1M sparse
    tar --format=posix -cSf "$scratch/packed.tar" .
  )
  tar -xpSf "$scratch/packed.tar"
  same -x fifo . "$scratch/packed"
  list() { (cd "$1" && find . -printf '%p %y %m %U %G %n %T@ %l\n' | sed 's/^\(.*\) d \(.*\) [0-9]* \([0-9.]*\) $/\1 d \2 \3/' | sort); }
  [ "$(list .)" = "$(list "$scratch/packed")" ] || failed "attributes are not those that were packed"
  tar -cf - . | tar -tf - >/dev/null
  rm -rf a
  [ "$(ls)" = "$(printf 'fifo\nhard\nlink\nsparse')" ] || failed "not all was removed"
}

sqlite_() { # Writers at once lose nothing, with a journal that is rolled back and with one that is written ahead.
  local rows=$((6 * size)) mode writer
  for mode in delete wal; do
    sqlite3 $mode "pragma journal_mode=$mode; create table t(writer, number)" >/dev/null
    for writer in 1 2 3; do
      (for i in $(seq $rows); do
        sqlite3 -cmd '.timeout 100000' $mode "insert into t values($writer, $i)"
      done) &
    done
    for writer in $(jobs -p); do wait "$writer" || failed "a writer failed"; done
    [ "$(sqlite3 $mode 'select count(*), count(distinct writer) from t; pragma integrity_check')" = "$((3 * rows))|3
ok" ] || failed "the base of mode $mode is not whole"
  done
}

fio_() { # What is written is read, at once and by who comes later.
  local common="--directory=. --verify=crc32c --verify_fatal=1 --size=${size}m --minimal --ioengine=psync" pass
  for pass in "" --verify_only; do
    fio $common --name=sequential --rw=write --bs=1m --fsync=4 $pass
    fio $common --name=random --rw=randwrite --bs=4k --numjobs=2 $pass
    fio $common --name=direct --rw=randwrite --bs=16k --direct=1 $pass
    [ ! -w /proc/sys/vm/drop_caches ] || [ ! -d /job ] || echo 3 >/proc/sys/vm/drop_caches
  done >/dev/null
  fio $common --name=mapped --rw=randwrite --bs=8k --ioengine=mmap >/dev/null
}

rsync_() { # The second time there is nothing to do, and the way back leads to the same.
  local from=$scratch/from
  mkdir -p "$from/d"
  for i in $(seq $((30 * size))); do text "$i" >"$from/d/f$i"; done
  ln "$from/d/f1" "$from/hard"
  ln -s d/f2 "$from/soft"
  touch -d '2001-02-03 04:05:06' "$from/d"
  rsync -aH "$from/" to/
  [ -z "$(rsync -aH --itemize-changes "$from/" to/)" ] || failed "the second time it did something"
  [ -z "$(rsync -aHc --itemize-changes "$from/" to/)" ] || failed "contents differ"
  for i in $(seq 1 4 $((30 * size))); do echo more >>"$from/d/f$i"; done
  rsync -aH --inplace "$from/" to/
  rsync -aH to/ "$scratch/back/"
  same "$from" "$scratch/back"
}

make_() { # All at once, then nothing, then only what a changed header needs.
  local files=$((4 * size)) made
  for i in $(seq $files); do
    echo "int part$i(void);" >part$i.h
    printf '#include "part%d.h"\n#include "part%d.h"\nint part%d(void) { return %d; }\n' \
      $i $((i % files + 1)) $i $i >part$i.c
  done
  {
    echo '#include <stdio.h>'
    for i in $(seq $files); do echo "#include \"part$i.h\""; done
    echo 'int main(void) { int sum = 0;'
    for i in $(seq $files); do echo "sum += part$i();"; done
    echo 'printf("%d\n", sum); return 0; }'
  } >main.c
  printf '%s\n' 'OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))' 'main: $(OBJECTS)' \
    '	$(CC) -o $@ $^' '%.o: %.c' '	$(CC) -MMD -c -o $@ $<' '-include $(wildcard *.d)' >Makefile
  make -s -j4 CC=gcc
  [ "$(./main)" = $((files * (files + 1) / 2)) ] || failed "the program is wrong"
  make -q CC=gcc || failed "it would be made again"
  sleep 0.01
  touch part1.h
  made=$(make -j4 CC=gcc | grep -c -- -MMD)
  [ "$made" = 3 ] || failed "a header made $made files be compiled again"
}

for part in ${PARTS:-git tar sqlite fio rsync make}; do
  mkdir "$tree/$part"
  cd "$tree/$part"
  begun=$(date +%s%N)
  "${part}_"
  printf '%s %d.%01d\n' "$part" $((($(date +%s%N) - begun) / 1000000000)) $((($(date +%s%N) - begun) / 100000000 % 10))
done
