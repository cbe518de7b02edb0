// SPDX-License-Identifier: GPL-2.0-or-later
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"

/* Descriptors beside the sessions' own: listeners, maps, control, resolver, log. */
#define NOFILE_EXTRA 1024

static bool has(cap_value_t capability)
{
	cap_flag_value_t set = CAP_CLEAR;
	cap_t caps = cap_get_proc();

	/* Without memory it is not known, and not blamed. */
	if (!caps || cap_get_flag(caps, capability, CAP_EFFECTIVE, &set) < 0)
		set = CAP_SET;
	if (caps)
		(void)cap_free(caps);
	return set == CAP_SET;
}

const char *privileges_missing(int capability)
{
	if (has(capability))
		return "";
	switch (capability) {
	case CAP_CHOWN:
		return ": CAP_CHOWN is missing";
	case CAP_SETUID:
		return ": CAP_SETUID is missing";
	case CAP_SETGID:
		return ": CAP_SETGID is missing";
	default:
		return ": a capability is missing";
	}
}

const char *privileges_for_bind(const struct addr *a, int err)
{
	bool local = a->sa.sa_family == AF_UNIX;

	if (err == -EACCES && !local)
		return ": this port needs CAP_NET_BIND_SERVICE";
	if (err == -EPERM && local)
		return ": unix_user and unix_group need CAP_CHOWN, but for a group of one's own";
	return "";
}

/* A failure changes nothing, and what is missing then is named by whoever needs it. */
void privileges_take(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t set;

	if (!caps)
		return;
	for (cap_value_t cap = 0; CAP_IS_SUPPORTED(cap); cap++)
		if (cap_get_flag(caps, cap, CAP_PERMITTED, &set) == 0)
			(void)cap_set_flag(caps, CAP_EFFECTIVE, 1, &cap, set);
	(void)cap_set_proc(caps);
	(void)cap_free(caps);
}

bool privileges_may_change(void)
{
	return has(CAP_SETUID) && has(CAP_SETGID);
}

const char *privileges_own_name(char buf[64])
{
	const struct passwd *pw = getpwuid(geteuid());

	if (pw)
		(void)snprintf(buf, 64, "%s", pw->pw_name);
	else
		(void)snprintf(buf, 64, "user %u", (unsigned int)geteuid());
	return buf;
}

int privileges_lookup(const char *name, struct identity *ret)
{
	struct passwd entry, *found = NULL;
	char buf[4096];
	int err;

	*ret = (struct identity){0};
	if (!name[0] || geteuid() != 0)
		return 0;
	err = getpwnam_r(name, &entry, buf, sizeof(buf), &found);
	if (err)
		return -err;
	if (!found)
		return -ENOENT;
	*ret = (struct identity){.change = true, .uid = found->pw_uid, .gid = found->pw_gid};
	return 0;
}

/* All but that one. */
static int drop_capabilities(int kept)
{
	cap_value_t one = kept;
	cap_t all = cap_init();
	int err = 0;

	if (!all)
		return -errno;
	if (kept != PRIVILEGES_NONE && (cap_set_flag(all, CAP_PERMITTED, 1, &one, CAP_SET) < 0 ||
					cap_set_flag(all, CAP_EFFECTIVE, 1, &one, CAP_SET) < 0))
		err = -errno;
	if (!err && cap_set_proc(all) < 0)
		err = -errno;
	(void)cap_free(all);
	return err;
}

int privileges_owner(const char *user, const char *group, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw;
	const struct group *gr;

	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	errno = 0;
	if (user[0]) {
		pw = getpwnam(user);
		if (!pw)
			return errno ? -errno : -ENOENT;
		*uid = pw->pw_uid;
		*gid = pw->pw_gid;
	}
	if (group[0]) {
		gr = getgrnam(group);
		if (!gr)
			return errno ? -errno : -ENOENT;
		*gid = gr->gr_gid;
	}
	return 0;
}

/* What no program that this process might execute could get back, however it is marked. Without
 * CAP_SETPCAP the set stays as it was given. */
static int drop_bounding_set(void)
{
	for (cap_value_t cap = 0; CAP_IS_SUPPORTED(cap); cap++) {
		if (cap_get_bound(cap) == 0 || cap_drop_bound(cap) == 0)
			continue;
		if (errno == EPERM)
			return 0;
		return -errno;
	}
	return 0;
}

/* The negative errno. */
static int change_failed(const char *name, const char *call, int capability)
{
	int err = -errno;

	return log_errno(err, "user %s: %s%s", name, call, privileges_missing(capability));
}

int privileges_drop(const struct identity *who, const char *name, int kept)
{
	int err = drop_bounding_set();

	if (err)
		return log_errno(err, "dropping the capability bounding set");
	/* Else they go with root's id. */
	if (kept != PRIVILEGES_NONE && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return log_errno(-errno, "prctl(PR_SET_KEEPCAPS)");
	if (who->change) {
		if (initgroups(name, who->gid) < 0)
			return change_failed(name, "initgroups", CAP_SETGID);
		if (setresgid(who->gid, who->gid, who->gid) < 0)
			return change_failed(name, "setresgid", CAP_SETGID);
		if (setresuid(who->uid, who->uid, who->uid) < 0)
			return change_failed(name, "setresuid", CAP_SETUID);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return log_errno(-errno, "prctl(PR_SET_NO_NEW_PRIVS)");
	err = drop_capabilities(kept);
	(void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0); /* nothing that is left to be kept */
	return err ? log_errno(err, "giving up capabilities") : 0;
}

void privileges_raise_nofile(uint32_t sessions)
{
	struct rlimit lim, want;
	rlim_t need = (rlim_t)sessions * 2 + NOFILE_EXTRA;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur >= need)
		return;
	want = (struct rlimit){.rlim_cur = MIN(need, lim.rlim_max), .rlim_max = lim.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &want) < 0)
		want = lim;
	if (want.rlim_cur < need)
		log_info(
		    "max_sessions = %u needs %llu descriptors, the limit is %llu: accepting will "
		    "pause there",
		    sessions, (unsigned long long)need, (unsigned long long)want.rlim_cur);
}
