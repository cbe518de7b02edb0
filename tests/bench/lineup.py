# SPDX-License-Identifier: GPL-2.0-or-later
"""All targets, in the order in which they are told."""

from sidecars import HaproxyBoth, SplicedBoth, SplicedClient, SplicedJoined
from targets import (Direct, Haproxy, HaproxyObserved, HaproxySplice, HaproxySpliceOwn, Nginx,
                     NginxObserved, Sniproxy, SplicedBypass, SplicedBypassClient,
                     SplicedBypassServer, SplicedCopy, SplicedHash, SplicedKernel, SplicedLog,
                     SplicedMetrics, SplicedObserved)

# Those that are taken from a newer Debian where there is one.
MODERN = (HaproxySplice, Haproxy, HaproxyObserved, Nginx, NginxObserved)

ALL = [Direct, HaproxySplice, HaproxySpliceOwn, Haproxy, HaproxyBoth, HaproxyObserved, Nginx,
       NginxObserved, Sniproxy, SplicedKernel, SplicedCopy, SplicedBypass, SplicedBypassClient,
       SplicedBypassServer, SplicedClient, SplicedJoined, SplicedBoth, SplicedHash, SplicedLog,
       SplicedMetrics, SplicedObserved]
