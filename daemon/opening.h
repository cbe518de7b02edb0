/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How an address of a listener becomes a binding with its sockets: between the files of bindings.
 */
#pragma once

#include "binding.h"

/* An address that is being bound for a listener, and where mistakes are told. */
struct opening {
	const struct binder *binder;
	const struct listener *listener;
	size_t bind; /* its number there */
	struct binding *binding;
};

/* Binds what the listener's bind says; it is the caller's. NULL, and what is wrong is told. */
struct binding *binding_new(const struct binder *by, const struct listener *l, size_t bind);
/* Frees it, and has the parent close what it has of it; the bypass, if there is one, forgets it. */
void binding_give_back(struct link *link, const struct bypass_maps *bypass, struct binding *b);
/* Gives the file of a unix socket, bound for another listener or file of options, to whom the
 * listener's options say: by the parent, if there is one. 0, or a negative errno, and nothing is
 * changed: that is told. */
int binding_give(const struct opening *o);
/* Undoes that, before the next one. `l` is the listener that has the binding. 0 or a negative
 * errno. */
int binding_take_back(struct link *link, struct binding *b, const struct listener *l);
/* Sets what clients inherit and whose they are, and listens. Sockops knows a socket as ours by who
 * calls listen(). 0, or a negative errno and what is wrong is told. */
int binding_make_ready(const struct opening *o, const struct listen_socket *s);
/* Clients begin with a request, whose answer acknowledges it. */
bool binding_is_asked_first(const struct listener *l);
