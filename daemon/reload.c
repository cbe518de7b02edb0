// SPDX-License-Identifier: GPL-2.0-or-later
#include "reload.h"

#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "daemon.h"
#include "log.h"
#include "util.h"

void reload_say_warnings(const struct config *c)
{
	for (size_t i = 0; i < c->n_warnings; i++)
		log_write_all(LOG_LVL_WARNING, "%s: %s", c->warnings[i].where, c->warnings[i].text);
}

/* What is different from what runs, so that nobody believes it has taken effect. */
static void say_reloaded(const struct config *running, const struct config *fresh)
{
	char *names = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&names, &size);
	size_t n = f ? config_diff(running, fresh, f) : 0;

	if (!f || fclose(f) != 0)
		log_info("reload: %s is valid; log options are in effect, all others at a restart",
			 running->path);
	else if (!n)
		log_info("reload: %s is valid, and all of it is in effect", running->path);
	else
		log_warn("reload: %s is valid; log options are in effect, and at a restart: %s",
			 running->path, names);
	free(names);
}

/* The access log first: it is what can fail, and then the rest stays as it was. */
static void reload_log(struct daemon *d, const struct config *fresh)
{
	int err =
	    log_access_setup(fresh->access_log, fresh->access_log_format, (uid_t)-1, (gid_t)-1);

	if (err) {
		(void)log_errno(err, "reload: access_log = %s", fresh->access_log);
		log_error("reload: nothing is changed");
		return;
	}
	log_setup(fresh->log_target, fresh->log_level);
	atomic_store(&d->access_log, fresh->access_log != NULL);
	atomic_store(&d->log_empty, fresh->log_empty);
	reload_say_warnings(fresh);
	say_reloaded(d->config, fresh);
}

void reload(struct daemon *d)
{
	_cleanup_config_ struct config *fresh = NULL;
	char *errors = NULL, *line, *rest;
	size_t size = 0;
	FILE *f = open_memstream(&errors, &size);

	if (!f) {
		log_error("reload: out of memory: nothing is changed");
		return;
	}
	if (config_load(d->config->input, &fresh, f) < 0) {
		(void)fclose(f);
		for (line = strtok_r(errors, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			log_write_all(LOG_LVL_ERROR, "%s", line);
		log_error("reload: nothing is changed");
	} else {
		(void)fclose(f);
		reload_log(d, fresh);
	}
	free(errors);
}
