#!/bin/bash
# Make a base image for the sandbox without any image registry.
#
# The sandbox's image is built FROM debian:bookworm-slim. Where that cannot be pulled (no registry, no network at
# build time, CI), this script makes an equal base from the Debian mirror and hands it to the engine:
#
#     sudo scripts/make-base-image.sh                      -> agentui-base:bookworm
#     AGENTUI_BASE_IMAGE=agentui-base:bookworm agentui     (or: agentui sandbox build)
#
# What it does, in order:
#   1. debootstrap --variant=minbase into a temporary folder, with every tool the sandbox offers already in it, so
#      that building the sandbox image from it needs neither mirror nor network;
#   2. tar of that folder into `docker import`, under the tag given;
#   3. removes the folder.
# It needs root (debootstrap), debootstrap, tar and a running Docker engine; about 350 MB of disk and two minutes.
# It changes nothing else on the machine, and does nothing when the tag is there already (--force makes it anew).
#
# With --with, packages are added: `--with python3 agentui-python:bookworm` makes an image in which checks can run
# Python. Never name such an image as the sandbox's base for that reason: the tools image strips it again.
#
# Usage: make-base-image.sh [--force] [--with PACKAGE,...] [TAG]
# Environment: MIRROR (default: debootstrap's own), SUITE (default bookworm), TMPDIR.
set -euo pipefail

force=0
if [[ ${1-} == --help || ${1-} == -h ]]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "$0"
    exit 0
fi
if [[ ${1-} == --force ]]; then
    force=1
    shift
fi
more=
if [[ ${1-} == --with ]]; then
    more=${2:?--with needs packages, separated by commas}
    shift 2
fi
suite=${SUITE:-bookworm}
mirror=${MIRROR:-}
tag=${1:-agentui-base:$suite}
# The same list as in app/agentui/sandbox/images/tools/Dockerfile; a test compares the two.
packages="diffutils fd-find file git gzip jq less make mawk patch procps ripgrep tree unzip xz-utils"

say() { printf 'make-base-image: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

((EUID == 0)) || die "must run as root: debootstrap unpacks a system with its own owners"
for tool in debootstrap tar docker; do
    command -v "$tool" >/dev/null || die "$tool is missing (apt-get install debootstrap tar docker.io)"
done
docker version >/dev/null 2>&1 || die "no Docker engine answers: start it first (see: docker version)"
if ((!force)) && docker image inspect "$tag" >/dev/null 2>&1; then
    say "$tag is there already (--force makes it anew)"
    exit 0
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/agentui-base.XXXXXX")
trap 'rm -rf --one-file-system "$folder"' EXIT

say "debootstrap $suite${mirror:+ from $mirror} with: $packages${more:+ ${more//,/ }}"
if ! debootstrap --variant=minbase --include="${packages// /,}${more:+,$more}" "$suite" "$folder/root" ${mirror:+"$mirror"} \
    >"$folder/log" 2>&1; then
    tail -n 20 "$folder/log" >&2
    die "debootstrap failed; its last lines are above"
fi
rm -rf "$folder"/root/var/cache/apt/archives/*.deb "$folder"/root/var/lib/apt/lists/*

say "importing into the engine as $tag"
tar -C "$folder/root" -c --numeric-owner . | docker import --message "debootstrap $suite for agentui" - "$tag" >/dev/null
say "$tag is ready: AGENTUI_BASE_IMAGE=$tag"
