# Doors to the project for people: everything else is cargo.

.PHONY: help run build test test-full bench

help:
	@echo "make run             install what is missing, build, start plexusd on ./plexus-data"
	@echo "make test            install what is missing, run every check"
	@echo "make test-full PART=n  what is too long for every change"
	@echo "make bench           numbers, beside other file systems; as root; BENCH=--quick for a look"

build:
	@packaging/prepare build
	@cargo build --release -p plexusd -p plexus

run: build
	@exec packaging/run-here

test:
	@packaging/prepare build test $(if $(shell command -v apt-get),guest)
	@packaging/test

test-full:
	@packaging/prepare build test guest
	@packaging/test-full "$(PART)"

bench: build
	@packaging/prepare bench $(if $(shell command -v apt-get),guest)
	@packaging/bench $(BENCH)
