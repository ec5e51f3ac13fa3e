#!/usr/bin/env bash
# The Debian package's life on a Debian 12 that has nothing else: install, serve, claim, stop,
# verify, install again over the data, remove, purge; nothing may be left but the data. Not
# part of ./dev test: it needs root, debootstrap, a Debian mirror and some minutes.
#
#   tests/package-in-chroot.sh [--keep DIR] [PACKAGE.deb]
#     --keep DIR  make the Debian in DIR and leave it there; used again when it is there
#     PACKAGE     what ./dev package would make, if not given
#
# No systemd runs in a chroot, so the unit itself is not started here: the server is, by hand,
# as the unit's user, with the unit's environment. The chroot has a mount and process namespace
# of its own; it shares the network, where the server takes a free port of the loopback.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
debian='' package=''
while (($# > 0)); do
    case $1 in
    --keep) debian=$2 && shift ;;
    *.deb) package=$1 ;;
    *) sed -n '2,/^set/s/^# \?//p' "$0" && exit 1 ;;
    esac
    shift
done
[[ -n $package ]] || package=$(./dev package | tail -n 1)

if [[ -z $debian ]]; then
    debian=$(mktemp -d /var/tmp/package-in-chroot.XXXXXX)
    trap 'rm -rf --one-file-system "$debian"' EXIT
fi
[[ -x $debian/usr/bin/apt-get ]] || debootstrap --variant=minbase bookworm "$debian" "$mirror"
cp "$package" "$debian/root/coupon.deb"

cat >"$debian/root/life.sh" <<'LIFE'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/root/apt.log 2>&1 || { cat /root/apt.log; exit 1; }; }
holds() { echo "ok - $1"; }
breaks() { echo "not ok - $1"; exit 1; }

# Every name there is, but for the package manager's own notes and what this script writes.
names() {
    find / -xdev \( -path /proc -o -path /root -o -path /run -o -path /tmp -o -path /var/cache \
        -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/coupon \) -prune \
        -o ! -name '*-' ! -name ld.so.cache -print | sort
}

# One request; prints the status line, the header and the body. METHOD PATH TOKEN BODY.
ask() {
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\n' \
        "$1" "$2" "$3" >&4
    printf 'Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' ${#4} "$4" >&4
    cat <&4
    exec 4>&-
}

# The answer to a request matches the pattern. PATTERN, then as ask.
expect() {
    local answer
    answer=$(ask "${@:2}")
    # shellcheck disable=SC2053 # it is a pattern
    [[ $answer == $1 ]] || breaks "$2 $3 is answered by $answer"
}

serve() {
    rm -f /root/said && mkfifo /root/said
    (set -a && . /etc/default/coupon && COUPON_DATA=/var/lib/coupon COUPON_LISTEN=127.0.0.1:0 \
        exec setpriv --reuid coupon --regid coupon --clear-groups --no-new-privs \
        --bounding-set=-all /usr/bin/coupon serve) 2>/root/said &
    server=$!
    exec 3</root/said
    line='' port='' said=''
    while [[ $line != *event=ready* ]]; do
        read -r line <&3 || breaks "the server starts; it said: $said$line"
        said+=$line$'\n'
        [[ $line != *event=listening* ]] || port=$(sed 's/.* address="\?[0-9.]*:\([0-9]*\).*/\1/' <<<"$line")
    done
}

stop() {
    kill -TERM "$server"
    cat <&3 >/dev/null
    wait "$server" || breaks "the server ends with 0"
}

# What a run that failed has left in a Debian that was kept.
dpkg --purge coupon >/root/apt.log 2>&1
apt autoremove --purge -y
rm -rf /var/lib/coupon
! getent passwd coupon >/dev/null || deluser --quiet --system coupon

apt update
names >/root/before
apt install --no-install-recommends -y /root/coupon.deb
holds "installs with what it depends on: $(dpkg-query -W -f '${Depends}' coupon)"
coupon version
[[ $(stat -c '%U:%G %a' /var/lib/coupon) == 'coupon:coupon 700' ]] || breaks "the data folder is its own"
[[ -L /etc/systemd/system/multi-user.target.wants/coupon.service ]] || breaks "the unit is enabled"
dpkg --verify coupon || breaks "every file is as packed"
holds "user, folder, unit and files are in place"

serve
token=$(cat /var/lib/coupon/admin-token)
expect 'HTTP/1.1 201 *"id":1,*' POST /v1/coupons "$token" '{"title":"Package","totalQuantity":1,
    "issueStart":"2020-01-01T00:00:00Z","issueEnd":"2099-01-01T00:00:00Z"}'
expect 'HTTP/1.1 201 *"rank":1,*' POST /v1/coupons/1/issues none '{"userId":"alice"}'
expect 'HTTP/1.1 409 *"code":"sold-out"*' POST /v1/coupons/1/issues none '{"userId":"bob"}'
stop
holds "serves as its user without any privilege: one claim issued, the next sold out"
coupon verify --data /var/lib/coupon | tail -n 1

apt install --reinstall -y /root/coupon.deb
serve
expect 'HTTP/1.1 409 *"code":"already-issued"*' POST /v1/coupons/1/issues none '{"userId":"alice"}'
stop
holds "installed again over its data, it knows who holds what"

apt remove -y coupon
[[ ! -e /usr/bin/coupon && ! -e /lib/systemd/system/coupon.service ]] || breaks "remove removes"
[[ -e /etc/default/coupon && -e /var/lib/coupon/coupon.db ]] || breaks "remove keeps settings and data"
holds "removed: settings and data are kept"

apt purge --autoremove -y coupon
names >/root/after
diff /root/before /root/after || breaks "purged: nothing is left but the data"
[[ -e /var/lib/coupon/coupon.db ]] || breaks "purged: the data is kept"
getent passwd coupon >/dev/null || breaks "purged: the data's owner is kept"
holds "purged: nothing is left but the data and its owner"

rm -r /var/lib/coupon
apt install --no-install-recommends -y /root/coupon.deb
apt purge --autoremove -y coupon
[[ ! -e /var/lib/coupon ]] && ! getent passwd coupon >/dev/null || breaks "without data, the user goes too"
names | diff /root/before - || breaks "without data, nothing is left"
holds "purged without ever having had data: nothing is left"
LIFE

# shellcheck disable=SC2016 # expanded by the inner shell
exec_inside='mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/env -i HOME=/root TERM=dumb \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin ${http_proxy:+http_proxy="$http_proxy"} bash /root/life.sh'
unshare --mount --pid --fork --kill-child bash -c "$exec_inside" inside "$debian"
