# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The door: every command a user or developer needs. The build itself is in
# meson.build; `make help` lists the targets.
.POSIX:

BUILD = build
PREFIX = /usr/local
DESTDIR =
ARGS =
QUICK =
SECONDS = 3600
MIB = 512
FILES = /usr

all: deps-build $(BUILD)/build.ninja
	@ninja -C $(BUILD)

help:
	@echo 'make               build the libraries, the disk, the tests and the example program'
	@echo 'make run           build, then serve a compressed disk and copy real files to it'
	@echo '                   (ARGS="--algorithm zstd ...", MIB=512, FILES=/usr)'
	@echo 'make demo          build, then pack real files into a pool (ARGS="file ...")'
	@echo 'make check         all deterministic tests, in several builds'
	@echo 'make soak          their long form, for SECONDS=$(SECONDS)'
	@echo 'make bench         speed and bytes against other allocators, kernel zram, nbdkit;'
	@echo '                   writes docs/BENCHMARKS.md (QUICK=1: two minutes, bench/results/)'
	@echo 'make bench-deps    install what make bench compares with, or name what is skipped'
	@echo 'make lint          formatting, static analysis, manual pages, licence lines, ...'
	@echo 'make format        bring the C files into the form that make lint asks for'
	@echo 'make install       install below DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)'
	@echo 'make clean         remove everything that was built'
	@echo 'Missing packages are installed with apt-get, and named; elsewhere only named.'

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix='$(PREFIX)'

# A build from before nbdkit was there has no plugin.
run: deps-run all
	@test -f $(BUILD)/plugin/nbdkit-zram-plugin.so || \
		{ meson configure $(BUILD) -Dzram=enabled -Dplugin=enabled && ninja -C $(BUILD); }
	@BUILD='$(BUILD)' MIB='$(MIB)' FILES='$(FILES)' scripts/run-disk $(ARGS)

demo: all
	@$(BUILD)/examples/zspack --svg $(BUILD)/pool.svg $(ARGS)

check: deps-check
	@BUILD=$(BUILD) scripts/check

soak: deps-check
	@BUILD=$(BUILD) scripts/soak $(SECONDS)

lint: deps-lint
	@scripts/lint

format:
	@find include src plugin tools tests fuzz bench examples -name '*.[ch]' -exec clang-format -i {} +

bench: bench-deps $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dtests=enabled -Dbench=enabled
	@ninja -C $(BUILD)
	@BUILD=$(BUILD) QUICK=$(QUICK) sh bench/run

install: all
	@meson configure $(BUILD) -Dprefix='$(PREFIX)'
	@DESTDIR='$(DESTDIR)' meson install -C $(BUILD)
	@if test -z "$(DESTDIR)" && test "`id -u`" = 0; then ldconfig; fi

clean:
	rm -rf $(BUILD) build-check

deps-build:
	@scripts/deps build

deps-run:
	@scripts/deps build run

deps-check:
	@scripts/deps build check

deps-lint:
	@scripts/deps build lint

bench-deps:
	@scripts/deps build bench

.PHONY: all help run demo check soak lint format bench install clean \
	deps-build deps-run deps-check deps-lint bench-deps
