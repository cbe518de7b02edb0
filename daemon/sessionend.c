// SPDX-License-Identifier: GPL-2.0-or-later
#include "sessionend.h"

const char *const session_end_str[_SESSION_END_MAX] = {
    [END_DONE] = "done",
    [END_CLIENT_RESET] = "client_reset",
    [END_SERVER_RESET] = "server_reset",
    [END_CLIENT_LOST] = "client_lost",
    [END_SERVER_LOST] = "server_lost",
    [END_IDLE_TIMEOUT] = "idle_timeout",
    [END_HALF_CLOSE_TIMEOUT] = "half_close_timeout",
    [END_CONNECT_FAILED] = "connect_failed",
    [END_NO_SERVER] = "no_server",
    [END_DENIED] = "denied",
    [END_LIMIT] = "limit",
    [END_CLIENT_CLOSED] = "client_closed",
    [END_SNIFF_TIMEOUT] = "sniff_timeout",
    [END_SNIFF_LIMIT] = "sniff_limit",
    [END_BAD_PROXY] = "bad_proxy",
    [END_UNTRUSTED_PROXY] = "untrusted_proxy",
    [END_NOT_TLS] = "not_tls",
    [END_BAD_HELLO] = "bad_hello",
    [END_BAD_HTTP] = "bad_http",
    [END_NO_ROUTE] = "no_route",
    [END_SHUTDOWN] = "shutdown",
    [END_KILLED] = "killed",
    [END_INTEGRITY] = "integrity",
    [END_ERROR] = "error",
};
