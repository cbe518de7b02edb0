# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenSSH, server and client."""

import os
import pwd

from . import programs


class Sshd(programs.Program):
    """OpenSSH's server with keys of its own, in a mount namespace for the directory it wants."""

    def __init__(self, env):
        sshd, ssh_keygen, unshare = programs.find("sshd", "ssh-keygen", "unshare")
        if os.geteuid() != 0:
            env.skip("sshd needs root for its /run/sshd")
        self.user, host, port = pwd.getpwuid(0).pw_name, programs.own_address(), 2222
        self.key = env.tmp / "client_key"
        for path in (self.key, env.tmp / "host_key"):
            programs.run(ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-f", path)
        config = env.tmp / "sshd_config"
        config.write_text(f"""
ListenAddress {host}:{port}
HostKey {env.tmp}/host_key
AuthorizedKeysFile {env.tmp}/client_key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
""", encoding="ascii")
        script = 'mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec "$0" "$@"'
        command = [unshare, "-m", "sh", "-c", script, sshd, "-D", "-e", "-f", config]
        address = f"{host}:{port}"
        super().__init__(env, "sshd", command, address, lambda: programs.is_listening(address))

    def command(self, address, *remote):
        """The command line of a client at that address."""
        host, port = programs.split(address)
        return [programs.find("ssh"), "-F", "none", "-p", port, "-i", self.key, "-o",
                "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", f"{self.user}@{host}", *remote]
