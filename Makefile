# SPDX-License-Identifier: GPL-2.0
# The way in: everything one does with this repository. The work is done by the scripts in workbench/.
#
#   ARCH=x86_64    run under QEMU instead of User-mode Linux (make test: only that part)
#   RUNS=N         make bench: measure N times and compare
#   ONLY=TEXT      make sim: only the runs whose names have TEXT in them
#   SMP=1          make bench: with two CPUs, by the clock on the wall
#   PROFILE=1      make bench: where the instructions of FAMILY= go, for SIZE= bytes, in MODE= of emtrtt
#   KDIR=DIR       use this tree of Linux 7.3 instead of fetching one; a copy of it is used, it is never touched
#   EMT_STATE=DIR  where sources and builds are kept (default: ~/.cache/emt)
#   JOBS=N         compile N files at a time (default: one for each CPU); make sim: N runs (default: one)

SHELL := /bin/bash
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

ifneq ($(origin ARCH),undefined)
ifeq ($(filter um x86_64,$(ARCH)),)
$(error ARCH=$(ARCH) is not one of ours; ARCH=um (the default) or ARCH=x86_64)
endif
endif
# What make exports to the scripts must not reach the kernel's own make by another way.
unexport ARCH
export KDIR EMT_STATE JOBS
export REASON
ifeq ($(KDIR),)
unexport KDIR
else
override KDIR := $(abspath $(KDIR))
endif
ifeq ($(EMT_STATE),)
unexport EMT_STATE
endif

wb := $(CURDIR)/workbench
# The kernel that demo and shell run. The debug kernel is for the tests.
kind := $(or $(ARCH),um)

# Words for bench, from what was said to make.
measure = $(if $(RUNS),--runs $(RUNS)) $(if $(SMP),--smp) $(if $(PROFILE),--profile) \
	$(if $(FAMILY),--family "$(FAMILY)") $(if $(SIZE),--size $(SIZE)) $(if $(MODE),--mode $(MODE))

.PHONY: help setup kernel demo test shell bench bench-record sim series series-bisect lint clean

help:
	@$(wb)/help

setup:
	@$(wb)/setup

kernel: setup
	@$(wb)/kernel $(or $(ARCH),um x86_64)

demo: setup
	@$(wb)/kernel $(kind)
	@$(wb)/selftests
	@$(wb)/shim build
	@$(wb)/demo $(kind)

test: setup
	@$(wb)/test $(if $(ARCH),--arch $(ARCH))

shell: setup
	@[ -t 0 ] || { echo "make shell wants a terminal; make demo does not" >&2; exit 1; }
	@$(wb)/kernel $(kind)
	@$(wb)/selftests
	@$(wb)/guest $(kind)

bench: setup
	@$(if $(PROFILE),,$(wb)/setup.d/packages plot)
	@$(wb)/kernel x86_64-bench
	@$(wb)/selftests
	@$(wb)/bench $(measure)

bench-record: setup
	@[ -n "$$REASON" ] || { echo 'make bench-record wants REASON="why the hot paths cost what they cost now"' >&2; exit 1; }
	@$(wb)/kernel x86_64-bench
	@$(wb)/selftests
	@$(wb)/bench --record "$$REASON"

sim: setup
	@$(wb)/setup.d/packages plot
	@$(wb)/kernel um-sim
	@$(wb)/selftests
	@$(wb)/sim $(if $(ONLY),--only "$(ONLY)")

series: setup
	@$(wb)/series.py generate --base $$(. $(wb)/lib.sh && echo $$BASE)

series-bisect: setup
	@$(wb)/series-bisect

lint: setup
	@$(wb)/lint

clean:
	@$(wb)/clean
