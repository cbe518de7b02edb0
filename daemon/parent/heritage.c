// SPDX-License-Identifier: GPL-2.0-or-later
#include "heritage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../log.h"
#include "parent.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- handing over ----------------------------------------------------------------------- */

static int write_all(const struct parent *p, FILE *f)
{
	int err =
	    fprintf(f,
		    "spliced %d\nself generation=%u deaths=%llu log_lost=%llu target=%d level=%d "
		    "json=%d\n",
		    HERITAGE_VERSION, p->generation, (unsigned long long)p->deaths,
		    (unsigned long long)p->log_lost + log_lost(), (int)p->manner.target,
		    (int)p->manner.level, p->manner.json) < 0
		? -ENOMEM
		: 0;

	for (size_t i = 0; !err && i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE)
			err = child_write(&p->children[i], f);
	if (!err)
		err = deposits_write(&p->deposits, f);
	return err ? err : holder_write(&p->holder, f);
}

/* A sealed file with the text; or a negative errno. */
static int write_heritage(const struct parent *p)
{
	_cleanup_close_ int fd = memfd_create("spliced-heritage", MFD_ALLOW_SEALING);
	FILE *f;
	int copy, err;

	if (fd < 0)
		return -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	f = copy < 0 ? NULL : fdopen(copy, "w");
	if (!f) {
		err = -errno;
		closep_(&copy);
		return err;
	}
	err = write_all(p, f);
	if (fclose(f) != 0 && !err)
		err = -errno;
	if (!err && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		err = -errno;
	return err ? err : TAKE_FD(fd);
}

static int survive(const struct parent *p, bool survives)
{
	int err = holder_survive(&p->holder, survives);

	if (!err)
		err = deposits_survive(&p->deposits, survives);
	for (size_t i = 0; !err && i < CHILDREN_MAX; i++) {
		int fd = p->children[i].channel;

		if (p->children[i].state != CHILD_NONE && fd >= 0 &&
		    fcntl(fd, F_SETFD, survives ? 0 : FD_CLOEXEC) < 0)
			err = -errno;
	}
	return err;
}

void heritage_hand_over(struct parent *p)
{
	_cleanup_close_ int fd = -1;
	char number[16];
	int err;

	log_tell(true); /* it is forgotten otherwise */
	fd = write_heritage(p);
	err = fd < 0 ? fd : survive(p, true);
	(void)snprintf(number, sizeof(number), "%d", fd);
	if (!err)
		err = program_become(&p->program, HERITAGE_VARIABLE, number);
	(void)log_errno(err, "becoming the new %s; the parent goes on with the old program",
			p->program.path);
	/* Children that are started from now on must not have them. */
	err = survive(p, false);
	if (err)
		(void)log_errno(err, "closing descriptors on exec");
}

/* ---- taking ----------------------------------------------------------------------------- */

static int read_self(struct parent *p, const char *line)
{
	unsigned long long deaths, lost;
	int target, level, json;

	if (sscanf(line, "self generation=%u deaths=%llu log_lost=%llu target=%d level=%d json=%d",
		   &p->generation, &deaths, &lost, &target, &level, &json) != 6)
		return -EINVAL;
	p->deaths = deaths;
	p->log_lost = lost;
	p->manner = (struct log_manner){
	    .target = (enum log_target)target, .level = (enum log_level)level, .json = json};
	return 0;
}

static int read_child(struct parent *p, const char *line)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &p->children[i];

		if (c->state != CHILD_NONE)
			continue;
		if (child_read(c, line) < 0)
			return -EINVAL;
		if (c->state == CHILD_SERVING) {
			p->serving = c;
			p->delay_ns = c->delay_ns;
		}
		return workers_watch(p, c);
	}
	return -EINVAL;
}

static int read_line(struct parent *p, const char *line)
{
	int version;

	if (strncmp(line, "self ", 5) == 0)
		return read_self(p, line);
	if (strncmp(line, "child ", 6) == 0)
		return read_child(p, line);
	if (strncmp(line, "left ", 5) == 0)
		return deposits_read(&p->deposits, line);
	if (strncmp(line, "held ", 5) == 0)
		return holder_read(&p->holder, line);
	return sscanf(line, "spliced %d", &version) == 1 && version == HERITAGE_VERSION ? 0
											: -EINVAL;
}

static int read_all(struct parent *p, FILE *f)
{
	_cleanup_free_ char *line = NULL;
	size_t space = 0;
	ssize_t n;
	int err = 0;

	while (!err && (n = getline(&line, &space, f)) > 0) {
		line[n - 1] = '\0';
		err = read_line(p, line);
	}
	return err ? err : survive(p, false);
}

int heritage_take(struct parent *p)
{
	const char *text = getenv(HERITAGE_VARIABLE);
	FILE *f;
	int fd, err;

	if (!text)
		return 0;
	f = sscanf(text, "%d", &fd) == 1 && lseek(fd, 0, SEEK_SET) == 0 ? fdopen(fd, "r") : NULL;
	(void)unsetenv(HERITAGE_VARIABLE);
	if (!f)
		return log_errno(-EINVAL, HERITAGE_VARIABLE);
	err = read_all(p, f);
	(void)fclose(f);
	/* Somebody has served, also if that is all there is to know: what is in the store stays
	 * there. */
	p->holder.serving = p->serving ? p->serving->generation : MAX(p->generation, 1);
	if (err)
		return log_errno(err, "taking over from the program before");
	p->served = true;
	log_set_manner(&p->manner);
	log_info("upgraded: spliced %s, worker %d (generation %u)", SPLICED_VERSION,
		 p->serving ? (int)p->serving->pid : 0, p->generation);
	return 0;
}
