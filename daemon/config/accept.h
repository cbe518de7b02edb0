/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which versions of the PROXY protocol are taken. */
#pragma once

enum proxy_accept {
	PROXY_ACCEPT_NO,
	PROXY_ACCEPT_V1,
	PROXY_ACCEPT_V2,
	PROXY_ACCEPT_ANY,
	_PROXY_ACCEPT_MAX,
};
