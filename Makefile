# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make run        install what is needed, build, start the quick start
#   make check      every test, and the core of them on other kernels
#   make vmcheck    every test on those kernels, FULL=1: the very long ones, too
#   make            build/spliced and build/splicectl
#   make deb        a Debian package, into build/deb
#   make image      a container image, and a bundle for runc, into build/image
#   make fuzz       every fuzzer for FUZZ_SECONDS=60; ARGS=NAME for one
#   make help       the rest
#
# V=1 shows the commands. CC=clang works. SAN=address,undefined builds into build-san.

VERSION := 0.1.0

V ?= 0
ifeq ($(V),0)
  Q   := @
  say  = @printf '  %-8s %s\n' $(1) $(2)
endif

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
MANDIR     ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
LIBDIR     := $(PREFIX)/lib
DATADIR    := $(PREFIX)/share/spliced
DOCDIR     ?= $(PREFIX)/share/doc/spliced
UNITDIR    ?= $(LIBDIR)/systemd/system
DESTDIR    ?=
SAN        ?=
BUILD      := build$(if $(SAN),-san)
FUZZ       := build-fuzz

CLANG   ?= clang
BPFTOOL ?= $(firstword $(shell command -v bpftool) /usr/sbin/bpftool)
PKGS    := libbpf libevent_core libevent_extra libevent_pthreads inih libsystemd jansson libcap libseccomp libnghttp2 libcares

WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS   ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -DSPLICED_VERSION='"$(VERSION)"' -Ibpf -Idaemon -I$(BUILD)
ALL_CFLAGS = -std=gnu17 $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer \
	     -fno-sanitize-recover=all) $(shell pkg-config --cflags $(PKGS)) -pthread
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN)) -pthread
FUZZ_SAN   := address,undefined
FUZZ_CFLAGS = -std=gnu17 $(WARN) -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
	      -fsanitize=fuzzer-no-link,$(FUZZ_SAN) $(shell pkg-config --cflags $(PKGS)) -pthread
FUZZ_SECONDS ?= 60
LIBS     = $(shell pkg-config --libs $(PKGS))

DAEMON_SRC := $(filter-out daemon/main.c daemon/splicectl.c daemon/ctl/%,$(wildcard daemon/*.c daemon/*/*.c))
DAEMON_OBJ := $(DAEMON_SRC:%.c=$(BUILD)/%.o)
CTL_OBJ    := $(patsubst %.c,$(BUILD)/%.o,daemon/splicectl.c $(wildcard daemon/ctl/*.c) \
	      daemon/doctor/print.c daemon/report/controlpath.c)
LOAD_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/load/*.c))
BENCH_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/*.c))
PEER_BIN   := $(patsubst tests/peers/%.c,$(BUILD)/tests/%,$(wildcard tests/peers/*.c))
UNIT_BIN   := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
SHIM_LIB   := $(patsubst tests/shim/%.c,$(BUILD)/tests/%.so,$(wildcard tests/shim/*.c))
FUZZ_OBJ   := $(DAEMON_SRC:%.c=$(FUZZ)/%.o)
FUZZ_BIN   := $(patsubst %.c,$(FUZZ)/%,$(wildcard tests/fuzz/fuzz_*.c))
TOOLS      := $(BUILD)/tests/spliced-load $(BUILD)/tests/spliced-bench $(SHIM_LIB) $(PEER_BIN)
PROGRAMS   := $(BUILD)/spliced $(BUILD)/splicectl

.PHONY: all tests fuzzers help deps check-deps run check fuzz bench bench-reload bench-scrape bench-upgrade bench-start \
	vmcheck install uninstall dist deb image image-root clean format lint docs FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS)

tests: all $(TOOLS) $(UNIT_BIN)

fuzzers: $(FUZZ_BIN)

help:
	@sed -n 's/^#   //p' Makefile
	@echo 'tests fuzzers image-root bench bench-reload bench-scrape bench-upgrade bench-start docs install uninstall dist clean format lint'

# ---- what is needed -------------------------------------------------------------------------

APT := apt-get install -y --no-install-recommends
DEPS := gcc make clang llvm pkg-config bpftool libbpf-dev libevent-dev libinih-dev libsystemd-dev \
	libjansson-dev libcap-dev libseccomp-dev libnghttp2-dev libc-ares-dev uthash-dev libc6-dev curl
DEPS_TEST := libcmocka-dev python3 iproute2 procps util-linux openssl redis-server postgresql \
	postgresql-contrib pgbouncer nginx-light libnginx-mod-stream iperf3 ethtool haproxy socat clang-format clang-tidy \
	qemu-system-x86 busybox-static cpio xz-utils kmod libclang-rt-14-dev mandoc nghttp2-client \
	nghttp2-server wrk prometheus openssh-server chromium nodejs sniproxy python3-grpcio systemd lintian \
	mmdebstrap e2fsprogs runc python3-jsonschema python3-yaml
DEPS_DEB := build-essential dpkg-dev debhelper git
DEPS_BENCH := mmdebstrap
DEPS_IMAGE := mmdebstrap python3

deps:
	@./conf/deps "$(APT)" $(DEPS)

check-deps:
	@./conf/deps "$(APT)" $(DEPS) $(DEPS_DEB) $(DEPS_TEST)

# ---- the kernel's half ----------------------------------------------------------------------

BPF_ARCH := $(shell uname -m)-linux-gnu

$(BUILD)/splice.bpf.o: bpf/gate.h bpf/lane-math.h bpf/leave.h bpf/splice-api.h
$(BUILD)/bypass.bpf.o: $(wildcard bpf/bypass-*.h)
$(BUILD)/intercept.bpf.o $(BUILD)/mark.bpf.o $(BUILD)/steer.bpf.o: bpf/intercept-api.h
$(BUILD)/intercept.bpf.o $(BUILD)/steer.bpf.o: bpf/places.h
$(BUILD)/intercept.bpf.o: bpf/intercept-answer.h
$(BUILD)/steer.bpf.o: bpf/steer-api.h
$(BUILD)/spread.bpf.o: bpf/spread-api.h

$(BUILD)/%.bpf.o: bpf/%.bpf.c bpf/kernel-types.h
	@mkdir -p $(@D)
	$(call say,BPF,$@)
	$(Q)$(CLANG) -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v3 -I/usr/include/$(BPF_ARCH) -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen object $(BUILD)/$*.linked.o $<
	$(Q)$(BPFTOOL) gen skeleton $(BUILD)/$*.linked.o name $*_bpf > $@

# ---- programs -------------------------------------------------------------------------------

$(BUILD)/daemon/splice/maps.o: $(BUILD)/splice.skel.h
$(BUILD)/daemon/bypass/maps.o: $(BUILD)/bypass.skel.h
$(BUILD)/daemon/intercept/programs.o: $(BUILD)/intercept.skel.h
$(BUILD)/daemon/intercept/mark.o: $(BUILD)/mark.skel.h
$(BUILD)/daemon/intercept/lookup.o: $(BUILD)/steer.skel.h
$(BUILD)/daemon/intercept/spread.o: $(BUILD)/spread.skel.h
$(BUILD)/tests/unit/test_btf.o: $(BUILD)/splice.skel.h $(BUILD)/bypass.skel.h

# The status page, one file of its parts, as a text in C.
PAGE := daemon/report/page

$(BUILD)/page.inc: $(addprefix $(PAGE)/,page.html page.css draw.js page.js)
	@mkdir -p $(@D)
	$(call say,PAGE,$@)
	$(Q)sed -e '/^@STYLE@$$/{r $(PAGE)/page.css' -e 'd}' -e '/^@SCRIPT@$$/{r $(PAGE)/draw.js' \
		-e 'r $(PAGE)/page.js' -e 'd}' $(PAGE)/page.html | sed 's/[\"]/\\&/g; s/.*/"&\\n"/' > $@

$(BUILD)/daemon/report/page.o: $(BUILD)/page.inc

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/spliced: $(BUILD)/daemon/main.o $(DAEMON_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)

$(BUILD)/splicectl: $(CTL_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ -ljansson

$(BUILD)/tests/spliced-load: $(LOAD_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ -ljansson

$(BUILD)/tests/spliced-bench: $(BENCH_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@

$(BUILD)/tests/%: tests/peers/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP $< -o $@ $(ALL_LDFLAGS)

# Loaded into the daemon before everything else; never with a sanitizer, which has its own malloc().
$(BUILD)/tests/%.so: tests/shim/%.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=gnu17 $(WARN) -Wno-missing-prototypes -O2 -g -D_GNU_SOURCE -fPIC -shared $< -o $@

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(DAEMON_OBJ) $(filter-out %/main.o,$(LOAD_OBJ))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS) -lcmocka

# ---- fuzzers --------------------------------------------------------------------------------

# Into a folder of its own, whatever CC, CFLAGS and SAN are: libFuzzer is clang's. An archive, so
# that a fuzzer is linked with (and counts the edges of) no more than it needs.

$(FUZZ)/daemon/splice/maps.o: $(BUILD)/splice.skel.h
$(FUZZ)/daemon/bypass/maps.o: $(BUILD)/bypass.skel.h
$(FUZZ)/daemon/intercept/programs.o: $(BUILD)/intercept.skel.h
$(FUZZ)/daemon/intercept/mark.o: $(BUILD)/mark.skel.h
$(FUZZ)/daemon/intercept/lookup.o: $(BUILD)/steer.skel.h
$(FUZZ)/daemon/intercept/spread.o: $(BUILD)/spread.skel.h
$(FUZZ)/daemon/report/page.o: $(BUILD)/page.inc

$(FUZZ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

# What libFuzzer calls is declared nowhere.
$(FUZZ)/tests/fuzz/%.o: WARN += -Wno-missing-prototypes

$(FUZZ)/daemon.a: $(FUZZ_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(FUZZ)/tests/fuzz/%: $(FUZZ)/tests/fuzz/%.o $(FUZZ)/daemon.a
	$(call say,LD,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,$(FUZZ_SAN) -pthread $^ -o $@ -Wl,--as-needed $(LIBS)

# Not what the benchmark keeps there: a distribution's root has folders of such names.
-include $(shell find $(BUILD) $(FUZZ) \( -name bench-peers -o -path $(BUILD)/vm -o -path $(BUILD)/deb -o -path $(BUILD)/image \) -prune \
	-o -name '*.d' -type f -print 2>/dev/null)

# ---- use ------------------------------------------------------------------------------------

run: deps
	@$(MAKE) -s --no-print-directory all
	@./conf/quickstart $(BUILD)

check: check-deps
	@$(MAKE) --no-print-directory -j$(shell nproc) tests fuzzers
	@$(MAKE) --no-print-directory build/deb/done
	@test $$(id -u) -ne 0 || $(MAKE) --no-print-directory build/image/done || \
		echo 'the image was not made: the tests that need it are skipped'
	@SPLICED_BUILD=$(BUILD) ./tests/run --debug --kernels core $(ARGS)

fuzz: check-deps
	@$(MAKE) --no-print-directory fuzzers
	@./tests/fuzz/run --seconds $(FUZZ_SECONDS) $(ARGS)

# Without mmdebstrap the proxies that spliced is compared with are this machine's.
bench: check-deps
	@./conf/deps "$(APT)" $(DEPS_BENCH) || echo 'not installed: $(DEPS_BENCH)'
	@$(MAKE) --no-print-directory tests
	@./tests/bench/bench $(ARGS)

# What a reload of a large file, a scrape of many series, an upgrade beside many sessions, and a start cost.
bench-reload bench-scrape bench-upgrade bench-start: tests
	@./tests/bench/operate $(@:bench-%=%) --build $(BUILD) $(ARGS)

vmcheck: check-deps
	@$(MAKE) --no-print-directory tests fuzzers
	@$(MAKE) --no-print-directory build/deb/done
	@SPLICED_BUILD=$(BUILD) ./tests/run --kernels all --only vm- $(if $(FULL),--full) $(ARGS)

# ---- installing -----------------------------------------------------------------------------

# What is installed, as SOURCE:TARGET; what may be run there may be run here.
INSTALLED := \
	$(BUILD)/spliced:$(PREFIX)/sbin/spliced \
	$(BUILD)/splicectl:$(PREFIX)/bin/splicectl \
	systemd/spliced.sysusers:$(LIBDIR)/sysusers.d/spliced.conf \
	systemd/spliced.tmpfiles:$(LIBDIR)/tmpfiles.d/spliced.conf \
	systemd/spliced.socket:$(UNITDIR)/spliced.socket \
	conf/bash-completion:$(COMPLETIONDIR)/splicectl \
	docs/man/splicectl.1:$(MANDIR)/man1/splicectl.1 \
	docs/man/spliced.conf.5:$(MANDIR)/man5/spliced.conf.5 \
	docs/man/spliced.8:$(MANDIR)/man8/spliced.8 \
	conf/grafana-dashboard.json:$(DATADIR)/grafana-dashboard.json \
	conf/prometheus-rules.yml:$(DATADIR)/prometheus-rules.yml \
	$(foreach file,$(wildcard conf/examples/*),$(file):$(DOCDIR)/examples/$(notdir $(file)))
OWN_DIRS := $(DOCDIR)/examples $(DOCDIR) $(DATADIR) $(SYSCONFDIR)/spliced
CONF     := $(SYSCONFDIR)/spliced/spliced.conf

# A configuration that is there is the administrator's: it is kept. The unit is written for /usr.
install: all
	$(Q)for pair in $(INSTALLED); do \
		mode=644; test ! -x "$${pair%%:*}" || mode=755; \
		install -D -m $$mode "$${pair%%:*}" "$(DESTDIR)$${pair#*:}" || exit 1; \
	done
	$(Q)ln -sf splicectl $(DESTDIR)$(COMPLETIONDIR)/spliced
	$(Q)test -e $(DESTDIR)$(CONF) || install -D -m 644 conf/spliced.conf $(DESTDIR)$(CONF)
	$(Q)install -d $(DESTDIR)$(UNITDIR)
	$(Q)sed 's|/usr/sbin/|$(PREFIX)/sbin/|; s|/etc/spliced/|$(SYSCONFDIR)/spliced/|' \
		systemd/spliced.service > $(DESTDIR)$(UNITDIR)/spliced.service
	$(Q)chmod 644 $(DESTDIR)$(UNITDIR)/spliced.service

# With the variables that `install` was given. A configuration that was changed is kept; directories that
# are not spliced's own are, too.
uninstall:
	$(Q)rm -f $(foreach pair,$(INSTALLED),$(DESTDIR)$(lastword $(subst :, ,$(pair)))) \
		$(DESTDIR)$(COMPLETIONDIR)/spliced $(DESTDIR)$(UNITDIR)/spliced.service
	$(Q)if cmp -s conf/spliced.conf $(DESTDIR)$(CONF); then rm -f $(DESTDIR)$(CONF); \
	elif test -e $(DESTDIR)$(CONF); then echo 'kept: $(DESTDIR)$(CONF)'; fi
	$(Q)for own in $(OWN_DIRS); do \
		test ! -d "$(DESTDIR)$$own" || rmdir --ignore-fail-on-non-empty "$(DESTDIR)$$own"; \
	done

# ---- packages -------------------------------------------------------------------------------

# The files as they are here, of what git knows; in an unpacked tarball all but what was built. Who packs
# them, when and where does not show.
DIST  := build/spliced-$(VERSION).tar.gz
EPOCH := $(or $(SOURCE_DATE_EPOCH),$(shell date -d "`sed -n 's/^ -- .*>  //p;T;q' debian/changelog`" +%s))

dist: $(DIST)

# It is as old as what is in it, so that what is made of it is made again when that is another.
$(DIST): FORCE
	@mkdir -p $(@D)
	$(Q)if test -e .git; then git ls-files -z --deduplicate >$@.files; else find . -path './build*' -prune \
		-o -name __pycache__ -prune -o ! -type d -printf '%P\0' >$@.files; fi
	$(Q)LC_ALL=C sort -z $@.files | tar -c -f $@.new --no-recursion --format=ustar --mode=u=rwX,go=rX \
		--owner=0 --group=0 --numeric-owner --mtime=@$(EPOCH) --transform='s|^|spliced-$(VERSION)/|S' \
		--null -T -
	$(Q)gzip -9nf $@.new && rm $@.files
	$(Q)if cmp -s $@.new.gz $@; then rm $@.new.gz; else mv $@.new.gz $@; fi

FORCE:

# From the tarball, in a directory of its own. DEB_BUILD_OPTIONS and CC are heeded.
deb: deps
	@./conf/deps "$(APT)" $(DEPS_DEB)
	@$(MAKE) -s --no-print-directory build/deb/done
	@ls build/deb/*.deb

build/deb/done: $(DIST)
	$(call say,DEB,build/deb)
	@rm -rf build/deb && mkdir -p build/deb
	$(Q)tar -xzf $< -C build/deb
	$(Q)cd build/deb/spliced-$(VERSION) && MAKEFLAGS= dpkg-buildpackage --build=binary --no-sign \
		>../log 2>&1 || { grep -v '^[a-z ]*gcc\|^[a-z ]*clang' ../log | tail -n 30; exit 1; }
	@touch $@

# Of that package and the libraries that it needs, from Debian.
IMAGE := conf/container/image

image: deps
	@./conf/deps "$(APT)" $(DEPS_DEB) $(DEPS_IMAGE)
	@$(MAKE) -s --no-print-directory build/image/done
	@ls -d build/image/*.tar build/image/bundle

# What conf/container/Containerfile makes an image of.
image-root: deb
	@rm -f build/image/done
	$(Q)./$(IMAGE) --root-only --package build/deb/spliced_*.deb build/image

build/image/done: build/deb/done $(addprefix conf/container/,image debtree.py runc.json seccomp.json)
	$(call say,IMAGE,build/image)
	$(Q)./$(IMAGE) --package build/deb/spliced_*.deb --epoch $(EPOCH) build/image
	@touch $@

# ---- documents ------------------------------------------------------------------------------

# spliced.conf(5): the frame by hand, the options from the table that the daemon reads files with.
docs: docs/man/spliced.conf.5
	@! command -v mandoc >/dev/null || mandoc -T lint docs/man/*.[158]

docs/man/spliced.conf.5: docs/man/spliced.conf.5.in $(BUILD)/spliced
	$(call say,MAN,$@)
	$(Q)$(BUILD)/spliced --print-man | fold -s -w 78 | sed 's/ *$$//' > $(BUILD)/options.man
	$(Q)sed -e '/^@OPTIONS@$$/{r $(BUILD)/options.man' -e 'd}' $< > $@

clean:
	rm -rf build build-san build-fuzz

C_FILES := $(wildcard daemon/*.[ch] daemon/*/*.[ch] bpf/*.[ch] tests/*/*.[ch])

format:
	clang-format -i $(C_FILES)

# Calls that may fail: ours that return an int, and these. One whose failure is ignored on purpose is
# cast to void.
FALLIBLE := event_add event_del event_base_loopbreak evconnlistener_enable evconnlistener_disable \
	bufferevent_enable bufferevent_disable evbuffer_add evbuffer_add_printf evbuffer_drain \
	evbuffer_remove evhttp_add_header setsockopt getsockopt shutdown connect bind listen accept4 \
	getsockname getpeername send sendmsg recv read write open close fcntl ioctl dup2 unlink chmod \
	fchmod fchown epoll_ctl epoll_wait timerfd_settime pthread_create pthread_mutex_lock sigaction \
	prctl setrlimit bpf_map_update_elem bpf_map_delete_elem bpf_map_lookup_elem \
	bpf_prog_test_run_opts sd_notify sd_notifyf snprintf fflush fclose
OURS      = ${shell sed -n 's/^int \([a-z0-9_]*\)(.*/\1/p' $(filter daemon/%.h,$(C_FILES))}
empty    :=
CALLS     = $(subst $(empty) $(empty),;,$(addprefix ::,$(FALLIBLE) $(OURS)))
TIDY_ARGS = -std=gnu17 $(CPPFLAGS) $(shell pkg-config --cflags $(PKGS))

lint: $(addprefix $(BUILD)/,splice.skel.h bypass.skel.h intercept.skel.h mark.skel.h) $(DAEMON_OBJ) $(CTL_OBJ)
	SPLICED_BUILD=$(BUILD) tests/unit/test_layers
	clang-format --dry-run -Werror $(C_FILES)
	clang-tidy --quiet --checks='-*,bugprone-unused-return-value' --config="{WarningsAsErrors: '*', \
		CheckOptions: [{key: bugprone-unused-return-value.CheckedFunctions, value: '$(CALLS)'}]}" \
		$(filter daemon/%.c,$(C_FILES)) -- $(TIDY_ARGS)
	clang-tidy --quiet $(filter daemon/%.c,$(C_FILES)) -- $(TIDY_ARGS)
