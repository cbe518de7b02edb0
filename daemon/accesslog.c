// SPDX-License-Identifier: GPL-2.0-or-later
#include "accesslog.h"

#include "log.h"

void access_write(const struct access_entry *e)
{
	char line[LOG_TEXT_MAX];

	if (log_access_format() == LOG_FORMAT_JSON)
		(void)access_format_stamped(e, log_level_str[LOG_LVL_INFO], line, sizeof(line));
	else
		(void)access_format(e, LOG_FORMAT_TEXT, line, sizeof(line));
	log_access(e, line);
}

void access_write_session(const struct access_session *s)
{
	struct access_entry e;

	access_begin(&e, "session");
	access_number(&e, "id", s->id);
	access_text(&e, "client", s->client);
	access_text(&e, "listener", s->listener);
	access_text(&e, "pool", s->pool);
	access_text(&e, "server", s->server);
	access_text(&e, "backend", s->backend);
	access_number(&e, "bytes_up", s->bytes_up);
	access_number(&e, "bytes_down", s->bytes_down);
	access_number(&e, "duration_ms", s->duration_ms);
	access_text(&e, "engine", s->engine);
	access_number(&e, "pauses", s->pauses);
	if (s->reason)
		access_text(&e, "reason", s->reason);
	access_text(&e, "end", s->end);
	access_write(&e);
}
