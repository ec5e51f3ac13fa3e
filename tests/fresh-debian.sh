#!/usr/bin/env bash
# What a newcomer does, on a Debian 12 that has only git: clone, ./dev run, the curl line it
# prints, Ctrl-C; then ./dev test. For: finding a package that packages.txt forgot. Not part
# of ./dev test: it needs root, debootstrap, a Debian mirror and some 15 minutes.
#
#   tests/fresh-debian.sh [--tree] [--run-only] [--keep DIR]
#     --tree      the files as they lie here instead of a clone of the last commit
#     --run-only  without ./dev test
#     --keep DIR  make the Debian in DIR and leave it there; used again when it is there
#
# The Debian is a chroot with a mount and process namespace of its own: what runs or is
# mounted in it ends with it. It shares the network, so port 8080 must be free.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
source=commit steps=all debian=
while (($# > 0)); do
    case $1 in
    --tree) source=tree ;;
    --run-only) steps=run ;;
    --keep) debian=$2 && shift ;;
    *) sed -n '2,/^set/s/^# \?//p' "$0" && exit 1 ;;
    esac
    shift
done

if [[ -z $debian ]]; then
    debian=$(mktemp -d /var/tmp/fresh-debian.XXXXXX)
    chmod 755 "$debian" # servers in it are another user than root
    trap 'rm -rf --one-file-system "$debian"' EXIT
fi
if [[ ! -x $debian/usr/bin/git ]]; then
    debootstrap --variant=minbase --include=git,ca-certificates bookworm "$debian" "$mirror"
fi

# As the installer and every container engine write it; debootstrap alone does not.
[[ -e $debian/etc/hosts ]] || echo '127.0.0.1 localhost' >"$debian/etc/hosts"

rm -rf "$debian/root/coupon"
if [[ $source == commit ]]; then
    git clone --quiet --no-hardlinks . "$debian/root/coupon"
else
    mkdir "$debian/root/coupon"
    git ls-files -z --cached --others --exclude-standard --deduplicate | tar -c --null -T - |
        tar -x -C "$debian/root/coupon"
fi

cat >"$debian/root/newcomer.sh" <<'NEWCOMER'
set -euo pipefail
cd /root/coupon
echo "==== ./dev run"
mkfifo /root/said
./dev run >/root/said 2>&1 </dev/null &
server=$!
exec 3</root/said
rm /root/said
claim=
while [[ $claim != curl\ * ]]; do
    read -r claim <&3 || { wait "$server"; exit 1; }
    printf '%s\n' "$claim"
done
echo "==== the printed line"
answer=$(bash -c "$claim")
printf '%s\n' "$answer"
grep -q '^HTTP/1.1 201 ' <<<"$answer"
grep -q '"rank":1[,}]' <<<"$answer"
kill -TERM "$server"
cat <&3
wait "$server"
echo "==== ended with 0"
[[ $1 == all ]] || exit 0
echo "==== .ci/run"
CI=true bash .ci/run
NEWCOMER

# shellcheck disable=SC2016 # expanded by the inner shell
exec_inside='mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/env -i HOME=/root TERM=dumb \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin ${http_proxy:+http_proxy="$http_proxy"} bash /root/newcomer.sh "$2"'
unshare --mount --pid --fork --kill-child bash -c "$exec_inside" inside "$debian" "$steps"
