"""The one list of targets: ``make fuzz`` runs them as long as you like, ``test_targets`` with a few examples each."""

import gzip
import zlib

from aiohttp import ClientPayloadError
from aiohttp.http_exceptions import ContentEncodingError

from buoy.http.body import MisfitError
from buoy.http.inflate import TooLargeError
from buoy.rules import common
from tests.fuzz import reads
from tests.fuzz.built import RPC, choices
from tests.fuzz.target import Target

DATES = (
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"Thu, 00 Zzz 0000 99:99:99 GMT",
    b"2026-01-01T00:00:00Z",
    b"0001-01-01T00:00:00+23:59",
)
NUMBERS = (b"0", b"1", b"60", b"1.5", b"-1", b"1e999", b"1700000060", b"1700000060000", b"9" * 15, b"9" * 5000, b"NaN")
QUOTA = (
    *(b"RateLimit:", b"RateLimit-Policy:", b"RateLimit-Limit:", b"RateLimit-Remaining:", b"RateLimit-Reset:"),
    *(b"X-RateLimit-Limit:", b"X-RateLimit-Remaining:", b"X-RateLimit-Reset:", b"X-Rate-Limit-Reset:"),
    *(b"Age:", b"Date:", b"Retry-After:", b'"a"', b";q=", b";r=", b";t=", b";w=", b";qu=", b";pk=:YQ==:", b"?1", b","),
)
JSON = (
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"null", b"true", b"false", b'{"', b'":', b'":"', b'"}', b"\\ud800"),
    *(b"[" * 2000, b'{"a":' * 500),
    *NUMBERS,
)
ERRORS = (
    *(b'"error":', b'"errors":[', b'"code":', b'"status":', b'"type":', b'"reason":', b'"details":[{"@type":'),
    *(b'"type.googleapis.com/google.rpc.RetryInfo"', b'"retryDelay":', b'"1.5s"', b'"domain":', b'"jsonrpc":"2.0"'),
    *(b'"jsonapi":{}', b'"source":{}', b'"extensions":{"code":', b'"locations"', b'"data":', b'"THROTTLED"'),
    *(b'"ok":false', b'"error_subcode":', b'"is_transient":', b'"__type":', b'"a#Throttling:b"', b'"slow_down"'),
    *(b"<Error><Code>", b"</Code>", b"<RequestId>", b"SlowDown", b'"cloudflare_error":true', b'"retry_after":'),
    *(b'"cost":{"requestedQueryCost":9,"throttleStatus":', b'{"currentlyAvailable":1,"restoreRate":'),
    *(b"WWW-Authenticate: Bearer error=", b"x-amzn-errortype:", b"x-amz-retry-after:", b"retry-after-ms:"),
    *(b"X-Business-Use-Case-Usage:", b'{"1":[{"estimated_time_to_regain_access":', b"X-RateLimit-Remaining: 0"),
    *(b"X-Shopify-Shop-Api-Call-Limit: 9/40", b"Retry-After: 2.0", b"\n\n", b"\n", b"200\n", b"403\n", b"429\n"),
)
BUILT = (
    (429, {"error": {"details": [{"@type": f"{RPC}RetryInfo", "retryDelay": {"seconds": 1}}]}}),
    (400, {"error": {"details": [{"@type": f"{RPC}ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED"}]}}),
    (
        403,
        {
            "error": {
                "code": -1,
                "status": "PERMISSION_DENIED",
                "errors": [{"domain": "a", "reason": "rateLimitExceeded"}],
            }
        },
    ),
    (422, {"errors": [{"status": "404", "code": "a", "source": {"a": 1}}], "jsonapi": {"a": 1}}),
    (200, {"errors": [{"extensions": {"code": "THROTTLED", "requestId": "a"}, "locations": 1}], "data": None}),
    (200, {"ok": False, "error": "ratelimited"}),
    (200, {"jsonrpc": "2.0", "error": {"code": -32602}}),
    (400, {"error": {"code": 190, "error_subcode": 463, "is_transient": True, "fbtrace_id": "a"}}),
    (400, {"error": {"type": "card_error", "code": "lock_timeout", "decline_code": "a", "param": "a"}}),
    (400, {"__type": "a#ThrottlingException:b"}),
)
CHARSETS = tuple(
    b"utf-8 latin-1 utf-16 utf-16-le utf-32 utf-7 utf-8-sig shift_jis gb18030 iso2022_jp hz cp037 ascii idna punycode "
    b"unicode_escape raw_unicode_escape undefined zlib hex rot13 mbcs oem aliases".split()
)
TEXTS = tuple(b"text/plain; charset=" + charset for charset in CHARSETS)
MEDIA = (b"application/json", b"application/problem+json", b"text/plain", b"text/", b"; charset=", b'"', b";", b"=")
ENDS = (b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xe2\x80\xa8", b"\xf0\x9f", b"x" * 65)
URLS = (
    *(b"http:", b"https:", b"//", b"/", b"..", b"?", b"#", b"@", b":", b"[", b"]", b"::1", b"%", b"%25", b"%zz", b"\\"),
    *(b"shop.example", b"xn--", b"xn--a", b"\xc3\xa4.example", b"\xe2\x84\xa1", b"\xff", b"127.1", b":443", b":0"),
    *(b":99999", b"key=canary", b"&", b"301 ", b"303 ", b"307 ", b"\n", b"\t", b"\0", b"a" * 300),
)

TARGETS = (
    Target(
        name="retry-after",
        read=reads.waits,
        seeds=(b"120", b"Sun, 06 Nov 1994 08:49:37 GMT\nSun, 06 Nov 1994 08:49:30 GMT"),
        words=(*DATES, *NUMBERS, b"\n", b" "),
    ),
    Target(
        name="hints",
        read=reads.hints,
        seeds=(b"x-should-retry: true\nx-request-id: req_1", b"stripe-should-retry: no\ncf-ray: 9-FRA"),
        words=(
            b"x-should-retry:",
            b"stripe-should-retry:",
            b"x-request-id:",
            b"cf-ray:",
            b"true",
            b"false",
            b"\n",
            b" ",
        ),
    ),
    Target(
        name="rate-limit",
        read=reads.limits,
        seeds=(
            b'RateLimit-Policy: "a";q=100;w=60, "b";q=9;qu="content-bytes"\nRateLimit: "a";r=0;t=30',
            b"RateLimit-Limit: 100, 100;w=60\nRateLimit-Remaining: 5\nRateLimit-Reset: 30",
            b"X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700000060\nDate: " + DATES[0],
        ),
        words=(*QUOTA, *DATES, *NUMBERS, b"\n"),
    ),
    Target(
        name="problem",
        read=reads.judged(common, "application/problem+json"),
        seeds=(
            b'429\nRetry-After: 3\n\n{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded"}',
            b'403\n\n{"cloudflare_error":true,"error_code":1015,"retryable":true,"retry_after":30,"ray_id":"a"}',
            b'422\n\n{"type":"about:blank","title":"t","status":422,"errors":[{"detail":"d"}],"traceId":"00-1"}',
        ),
        words=(*JSON, *ERRORS, b"about:blank", b"https://", b"#", b"/", b'"errors":', b'"traceId":'),
    ),
    Target(
        name="rules",
        read=reads.judged(reads.ALL),
        seeds=(
            b'402\n\n{"error":{"type":"card_error","code":"card_declined","decline_code":"lost_card"}}',
            b'200\n\n{"errors":[{"extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{"requestedQueryCost":9}}}',
            b'403\nX-RateLimit-Remaining: 0\n\n{"documentation_url":"https://docs.github.com/rest#rate-limit"}',
            b'200\n\n{"ok":false,"error":"ratelimited"}',
            b'400\nX-Ad-Account-Usage: {"reset_time_duration":9}\n\n{"error":{"code":190,"error_subcode":463}}',
            b"503\n\n<?xml?><Error><Code>SlowDown</Code></Error><RequestId>r</RequestId>",
            b'400\nx-amz-retry-after: 9\n\n{"__type":"com.amazonaws.dynamodb#ThrottlingException"}',
            b'429\n\n{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.5s"}]}}',
            b'403\n\n{"error":{"code":403,"status":"PERMISSION_DENIED","errors":[{"domain":"a","reason":"authError"}]}}',
            b'404\nContent-Type: application/vnd.api+json\n\n{"errors":[{"status":"404","code":"a","source":{}}]}',
            b'200\n\n{"jsonrpc":"2.0","error":{"code":-32602,"message":"m"},"id":1}',
            b'401\nWWW-Authenticate: Bearer realm="a", error="invalid_token"\n\n{"error":"invalid_grant"}',
        ),
        words=(*JSON, *ERRORS),
    ),
    Target(
        name="rules-built",
        read=reads.built,
        seeds=tuple(choices(status, value) for status, value in BUILT),
        words=tuple(bytes([choice]) for choice in range(64)),
    ),
    Target(
        name="body",
        read=reads.plain,
        seeds=(b'application/json\n{"a":[1,2.5,null]}', b"text/plain; charset=latin-1\n\xe4", b"image/png\n\x89PNG"),
        words=(*MEDIA, *CHARSETS, *JSON, b"\n"),
    ),
    Target(
        name="content-type",
        read=reads.content_type,
        seeds=(b"application/json; charset=utf-16", b'text/html; a=b; charset="utf-16-le"', *TEXTS),
        words=(*MEDIA, *CHARSETS),
    ),
    Target(
        name="model",
        read=reads.model,
        seeds=(
            b'{"id":1,"at":"2026-01-01T00:00:00Z","price":"1.50","key":"12345678-1234-5678-1234-567812345678","parts":[1]}',
            b'{"id":2,"link":"https://a.example/b?c#d","kind":"b","sku":"abc-1","inside":"[1]","by_name":{"c":{"id":3}}}',
        ),
        words=(
            *JSON,
            *DATES,
            *(
                b'"id":',
                b'"at":',
                b'"price":',
                b'"key":',
                b'"link":',
                b'"sku":',
                b'"inside":',
                b'"by_name":',
                b'"parts":',
            ),
        ),
    ),
    Target(
        name="text-lines",
        read=reads.text_lines,
        allowed=(MisfitError,),
        seeds=(
            b"utf-8\na\r\nb\n\xc3\xa4",
            b"ascii\n" + b"x" * reads.LONGEST,
            b"utf-16\n" + "a\nb".encode("utf-16"),
            b"shift_jis\n\x83\x5c\n",
        ),
        words=(*CHARSETS, *ENDS),
    ),
    Target(
        name="json-lines",
        read=reads.json_lines,
        seeds=(b'{"id":1}\n{"id":2}\r\n\n[3]', b'\xef\xbb\xbf{"id":1}\n'),
        words=(*JSON, *ENDS, b'{"id":1}'),
    ),
    Target(
        name="events",
        read=reads.events,
        allowed=(MisfitError,),
        seeds=(
            b"\xef\xbb\xbf: hi\nid: 1\nevent: a\ndata: b\ndata\nretry: 10\n\ndata:c\r\n\r\n",
            b"\x01data:a\r\rdata:b\n\n",
            b"data:" + b"x" * 58 + b"\ndata:12345\n\n",
        ),
        words=(b"data:", b"data", b"event:", b"id:", b"retry:", b":", b" ", *ENDS, *NUMBERS),
    ),
    Target(
        name="location",
        read=reads.target,
        seeds=(
            b"/c/../d?e=f#g",
            b"https://a:443",
            b"https://other.example:8443/\xc3\xa4",
            b"//[::1]/",
            b"?page=2\n?page=2",
        ),
        words=URLS,
    ),
    Target(
        name="redirect",
        read=reads.hops,
        seeds=(
            b"303 /done\n302 https://other.example/?key=canary&a=1\n301 https://shop.example/back",
            b"307 /b\n308 /c\n307 /d\n307 /e\n307 /f\n307 /g",
        ),
        words=URLS,
    ),
    Target(
        name="inflate",
        read=reads.inflated,
        allowed=(MisfitError, TooLargeError, ContentEncodingError, ClientPayloadError),
        seeds=(
            b"gzip\n" + gzip.compress(b"abc" * 9, mtime=0) * 2,
            b"x-gzip\n" + gzip.compress(bytes(2 * reads.INFLATED), mtime=0),
            b"deflate\n" + zlib.compress(b"abc" * 9),
            b"deflate\n" + zlib.compress(b"abc" * 9)[2:-4],
        ),
        words=(b"gzip\n", b"deflate\n", b"identity, ", b"br", b"\x1f\x8b\x08", b"\x78\x9c", b"\0", b"\0\0\0\xff\xff"),
    ),
)
