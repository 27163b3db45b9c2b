#!/bin/bash
# Take out of the image what an agent's shell must not have, and fail the build if any of it is left.
#
# Interpreters, network clients, package managers, setuid bits and the tools that change users or mounts. This is the
# policy "bash only"; what contains the agent is the container (no network, no capabilities, read-only root).
set -euo pipefail
shopt -s nullglob

folders=(/bin /sbin /usr/bin /usr/sbin /usr/local/bin /usr/local/sbin /usr/games /opt)
interpreters=('perl*' 'python*' 'pypy*' pdb 'pdb[0-9]*' 'pip*' node nodejs npm npx deno bun 'ruby*' gem irb
    'lua*' 'php*' tclsh 'tclsh*' wish expect gdb m4 'guile*' java javac go rustc cargo gcc 'gcc-*' cc g++ 'g++-*' c++
    clang 'clang*' tcc as ld 'ld.*' ed ex vi vim 'vim.*' emacs nano busybox)
network=(curl wget nc 'nc.*' netcat ncat socat telnet ftp tnftp sftp scp ssh 'ssh-*' sshd slogin rsync openssl dig
    host nslookup ping ping6 ip ss tracepath traceroute 'git-daemon' 'gnutls-*')
packages=('apt*' 'dpkg*' 'deb-*' debconf 'debconf-*' debootstrap snap flatpak)
powers=(su sudo mount umount unshare nsenter setpriv chroot pivot_root switch_root passwd chsh chfn newgrp gpasswd
    chage expiry login sulogin runuser mknod losetup swapon swapoff fsck 'mkfs*' insmod modprobe)

profile=${1:-default}
forbidden=(python python3 perl node ruby php lua gcc wget nc ssh openssl apt apt-get dpkg su mount unshare busybox socat)
required=(bash sh awk sed grep find xargs diff patch git rg fd jq tree less file make ps gzip xz unzip tar edit)
if [[ $profile == research ]]; then
    required+=(curl)
    network=("${network[@]/#curl/}")
    # Only its own user may start it: it is what leads to the proxy, not one more client for the agent.
    mv "$(type -P socat)" /usr/local/lib/agentui/socat
    chown 61017:61017 /usr/local/lib/agentui/socat
    chmod 500 /usr/local/lib/agentui/socat
    install -d -o 61017 -g 61017 -m 755 /relay
else
    forbidden+=(curl)
fi

remove_named() {
    local folder pattern
    for folder in "${folders[@]}"; do
        for pattern in "$@"; do
            [[ -n $pattern ]] || continue
            # Unquoted on purpose: the pattern is a glob.
            # shellcheck disable=SC2086,SC2206
            local found=($folder/$pattern)
            ((${#found[@]})) && rm -rf -- "${found[@]}"
        done
    done
    return 0
}

# A script whose interpreter is gone only confuses: remove those too. The first two bytes are enough to skip binaries.
remove_scripts() {
    local file line
    while IFS= read -r -d '' file; do
        IFS= read -r line <"$file" 2>/dev/null || continue
        [[ $line =~ ^'#!'.*(perl|python|ruby|node|php|lua|tclsh|wish|guile|expect) ]] && rm -f -- "$file"
    done < <(find / -xdev \( -path /proc -o -path /sys \) -prune -o -type f -perm /111 -print0 2>/dev/null |
        xargs -0 grep -lZ -m1 -a '^#!' 2>/dev/null)
    return 0
}

remove_named "${network[@]}" "${powers[@]}"
rm -rf /usr/lib/git-core/git-remote-{http,https,ftp,ftps} /usr/lib/git-core/git-{daemon,imap-send,http-backend} \
    /usr/lib/git-core/git-{http-fetch,http-push,shell,send-email,svn,instaweb,cvs*,archimport,p4,gui*}
remove_scripts
remove_named "${interpreters[@]}"
rm -rf /usr/share/perl* /usr/lib/*/perl* /usr/lib/*/libperl* /etc/perl /usr/lib/python* /usr/local/lib/python* \
    /usr/share/python* /usr/lib/ruby /usr/lib/node_modules /usr/share/gcc /usr/share/gdb /usr/lib/valgrind
rm -rf /usr/share/{doc,man,info,locale,lintian,debconf,zoneinfo,gitweb,bash-completion,menu,bug} /var/log/* \
    /var/cache/* /etc/{apt,cron.*,init.d,pam.d,security,systemd,dpkg} /usr/lib/{apt,systemd,dpkg} /tmp/strip.sh
find / -xdev -perm /6000 -exec chmod a-s {} +
# One name for the agent's usual uid, so that `id` and `ls -l` read well.
grep -q '^agent:' /etc/passwd || echo 'agent:x:1000:1000:agent:/tmp/home:/bin/bash' >>/etc/passwd
grep -q '^agent:' /etc/group || echo 'agent:x:1000:' >>/etc/group
# Package managers last: nothing after this line needs them.
remove_named "${packages[@]}"
rm -rf /var/lib/{apt,dpkg,debconf,systemd} /var/backups/* /usr/share/dpkg /usr/libexec/dpkg /etc/logrotate.d
find /usr -xdev \( -name '*.py' -o -name '*.pyc' -o -name '*.pl' -o -name '*.pm' -o -name '*.rb' \) -delete
# Names that now lead nowhere, as those of the alternatives do.
find /bin/ /sbin/ /usr/bin /usr/sbin /usr/local/bin -xtype l -delete
hash -r

failed=0
for name in "${forbidden[@]}"; do
    if command -v "$name" >/dev/null; then
        echo "strip: $name is still there: $(command -v "$name")" >&2
        failed=1
    fi
done
for name in "${required[@]}"; do
    if ! command -v "$name" >/dev/null; then
        echo "strip: $name is missing" >&2
        failed=1
    fi
done
if [[ -n $(find / -xdev -type f -perm /6000 -print -quit) ]]; then
    echo "strip: a setuid file is left" >&2
    failed=1
fi
exit "$failed"
