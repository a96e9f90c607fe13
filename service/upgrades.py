"""uvicorn's HTTP protocol for clients that offer to go on in another one (`Upgrade: h2c`): answered as if they had not.

A server ignores an Upgrade that it does not know (RFC 9110, 7.8). The parser takes what follows such a head for bytes
of the other protocol, so the head is put aside and parsed again without the offer. Other requests pay nothing for this.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_OFFERS = (b"upgrade", b"http2-settings")


class OneProtocol(HttpToolsProtocol):
    """Speaks HTTP/1.1, whatever else it is offered."""

    def feed(self, left: memoryview) -> None:
        """Parse the next bytes.

        Raises:
            httptools.HttpParserError: it is no HTTP/1.1.
        """
        self._unset_keepalive_if_required()
        while left:
            try:
                self.parser.feed_data(left)
                return
            except httptools.HttpParserUpgrade as offer:
                left = left[offer.args[0] :]
                if self._should_upgrade():
                    head = self._head_without_offer()
                    self.parser = httptools.HttpRequestParser(self)  # this one is done where the connection is to close
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
                    self.parser.feed_data(head)

    def _should_upgrade(self) -> bool:
        """Whether uvicorn is to leave the head aside. CONNECT is a method like any other."""
        return self.parser.get_method() != b"CONNECT"

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(token for token in value.split(b",") if token.strip().lower() not in _OFFERS)
            if name not in _OFFERS:
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join((*lines, b"", b""))
