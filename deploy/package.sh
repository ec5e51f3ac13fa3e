#!/usr/bin/env bash
# Makes build/coupon_VERSION_ARCHITECTURE.deb out of build/coupon. For: ./dev package, which
# has built it. Not for: Debian's archive, which would want a source package.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
version=$(sed -n "s/^ *version: '\(.*\)',$/\1/p" meson.build)
architecture=$(dpkg --print-architecture)
work=build/package stage=build/package/coupon
target=build/coupon_${version}_$architecture.deb

rm -rf "$work"
install -D -m 0755 build/coupon "$stage/usr/bin/coupon"
strip --strip-unneeded "$stage/usr/bin/coupon"
install -D -m 0644 deploy/coupon.service "$stage/lib/systemd/system/coupon.service"
install -D -m 0644 deploy/coupon-worker.service "$stage/lib/systemd/system/coupon-worker.service"
install -D -m 0600 deploy/debian/default "$stage/etc/default/coupon" # passwords may be put there
install -d "$stage/usr/share/doc/coupon"
cp -r README.md README.ko.md SECURITY.md docs "$stage/usr/share/doc/coupon" # links between them hold
install -d "$stage/usr/share/doc/coupon/deploy"
cp -r deploy/prometheus deploy/grafana deploy/proxy "$stage/usr/share/doc/coupon/deploy"
gzip -9n <CHANGELOG.md >"$stage/usr/share/doc/coupon/changelog.gz"
cat >"$stage/usr/share/doc/coupon/copyright" <<'COPYRIGHT'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: the authors of coupon
License: Apache-2.0
 On Debian systems the licence is in /usr/share/common-licenses/Apache-2.0.
COPYRIGHT
find "$stage" -type d -exec chmod 0755 {} +
find "$stage/usr/share/doc" -type f -exec chmod 0644 {} +

# dpkg-shlibdeps wants a source package's control file; the libraries are all it finds out.
mkdir "$work/debian"
printf 'Source: coupon\n\nPackage: coupon\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O coupon/usr/bin/coupon)

install -d -m 0755 "$stage/DEBIAN"
install -m 0755 deploy/debian/{postinst,prerm,postrm} "$stage/DEBIAN"
echo /etc/default/coupon >"$stage/DEBIAN/conffiles"
(cd "$stage" && find lib usr -type f -exec md5sum {} +) >"$stage/DEBIAN/md5sums"
cat >"$stage/DEBIAN/control" <<CONTROL
Package: coupon
Version: $version
Architecture: $architecture
Maintainer: ${DEBFULLNAME:-coupon} <${DEBEMAIL:-root@localhost}>
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: ${libraries#shlibs:Depends=}, adduser, init-system-helpers (>= 1.52)
Section: net
Priority: optional
Description: first-come, first-served coupon server
 Issues a limited number of coupons to a crowd that asks for them within a
 second: never one more than there are, never two to one user, in order, and
 no success before it is on stable storage. One program, one SQLite file, an
 HTTP interface in JSON.
CONTROL
dpkg-deb --root-owner-group -Zxz --build "$stage" "$target" >&2
printf '%s\n' "$target"
