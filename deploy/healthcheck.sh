#!/bin/bash
# 0 when the server in this container is ready. For the Dockerfile's HEALTHCHECK: bash speaks
# enough HTTP for it, so that the image needs no curl.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/${COUPON_LISTEN##*:}"
printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
IFS= read -r -t 3 line <&3
[[ $line == 'HTTP/1.1 200 '* ]]
