"""Why coupon refuses what nginx or haproxy takes: the last column of compared.txt."""

REASONS = {
    "line-end": "A line ends with CR and LF. Whoever takes less sees lines where another sees none "
                "(RFC 9112 2.2 leaves it open).",
    "request-line": "A request line has one space twice, and nothing but one empty line before it "
                    "(RFC 9112 3 lets a server be more lenient, and names the danger).",
    "version": "HTTP/1.1 and HTTP/1.0 are spoken, and by no other name; HTTP/0.9 has no framing.",
    "target": "A target holds visible ASCII without a fragment; stars are for OPTIONS, URLs are http "
              "(RFC 9112 3.2).",
    "connect": "There is no tunnel: whatever followed would be read by two in two ways.",
    "host": "Exactly one Host, which is a host with an optional port (RFC 9112 3.2: else 400).",
    "name": "A field's name is a token and a colon follows it at once (RFC 9112 5.1: else 400).",
    "value": "No control character but a tab stands in a value (RFC 9110 5.5: dangerous).",
    "fold": "A folded line is refused (RFC 9112 5.2: 400, or read it as a space).",
    "length": "One Content-Length, even if a second agrees (RFC 9112 6.3: may be refused).",
    "both-lengths": "Content-Length with Transfer-Encoding is how requests are smuggled (RFC 9112 6.3: "
                    "may be refused).",
    "coding": "One Transfer-Encoding, \"chunked\" and nothing else.",
    "old-coding": "HTTP/1.0 has no Transfer-Encoding (RFC 9112 6.1: its framing is faulty).",
    "expect": "An expectation that is not known cannot be met (RFC 9110 10.1.1: 417).",
    "chunk": "A chunk's size is 1 to 16 hexadecimal digits, an extension follows at once, and holds no "
             "control character (RFC 9112 7.1).",
    "trailer": "A trailer is a field line like any other (RFC 9112 7.1.2).",
    "limit": "A head has 8 KiB and 64 fields, a claim 4 KiB, a size line 256 bytes, trailers 8 KiB: a "
             "proxy's limits are larger, and it stands before many kinds of servers.",
    "no-body": "Where no body is taken none is read: the answer is the connection's last, so that the "
               "body cannot become a request.",
}
