#!/bin/bash
# Make the image out of the plain base: what Pi needs, without the base's interpreters, package managers and setuid bits.
set -euo pipefail
shopt -s nullglob

context=/tmp/context
printf '#!/bin/sh\nexec /usr/local/bin/node /opt/pi/node_modules/@earendil-works/pi-coding-agent/dist/bundle/cli.js "$@"\n' \
    >/usr/local/bin/pi
install -m 755 "$context/pi-inside" /usr/local/bin/pi-inside
chmod 755 /usr/local/bin/pi
# agentui adds its extension to the folder it builds from; without it, Pi runs its commands in its own container.
mkdir -p /opt/agentui
[[ -d $context/extension ]] && cp -r "$context/extension" /opt/agentui/
chmod -R u=rwX,go=rX /opt /usr/local/lib/agentui

grep -q '^agent:' /etc/passwd || echo 'agent:x:1000:1000:agent:/home/agent:/bin/bash' >>/etc/passwd
grep -q '^agent:' /etc/group || echo 'agent:x:1000:' >>/etc/group
# Owned by the agent, so that a new volume mounted there belongs to it as well.
install -d -o 1000 -g 1000 -m 755 /home/agent /home/agent/.pi /home/agent/.pi/agent /sessions
install -d -o 1000 -g 1000 -m 755 /workspace
# Owned by the user that the relay runs as, so that a new volume is as well.
install -d -o 61017 -g 61017 -m 755 /relay

rm -rf /usr/bin/perl* /usr/share/perl* /usr/lib/*/perl* /usr/bin/python3* /usr/lib/python3* /usr/bin/curl /usr/bin/wget
find / -xdev -perm /6000 -exec chmod a-s {} +
rm -rf /usr/share/{doc,man,info,locale,lintian} /var/cache/* /var/log/* /var/lib/apt
rm -f /usr/bin/apt* /usr/bin/dpkg* /bin/su /bin/mount /bin/umount
rm -rf "$context"

/usr/local/bin/node --version
/usr/local/lib/agentui/socat -V >/dev/null
