/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Why a session ended: the `end=` of the access log. */
enum session_end {
	END_DONE,
	END_CLIENT_RESET,
	END_SERVER_RESET,
	END_CLIENT_LOST, /* it answers no more */
	END_SERVER_LOST,
	END_IDLE_TIMEOUT,
	END_HALF_CLOSE_TIMEOUT,
	END_CONNECT_FAILED,
	END_NO_SERVER,
	END_DENIED,
	END_LIMIT,
	END_CLIENT_CLOSED, /* before it had said where it belongs */
	END_SNIFF_TIMEOUT,
	END_SNIFF_LIMIT,
	END_BAD_PROXY,
	END_UNTRUSTED_PROXY,
	END_NOT_TLS,
	END_BAD_HELLO,
	END_BAD_HTTP,
	END_NO_ROUTE,
	END_SHUTDOWN,
	END_KILLED, /* by an operator */
	END_INTEGRITY,
	END_ERROR,
	_SESSION_END_MAX,
};
extern const char *const session_end_str[_SESSION_END_MAX];
