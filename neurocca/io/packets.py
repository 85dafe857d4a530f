"""The index of a film: when its pictures and sounds are due, told without decoding them."""

import math
from fractions import Fraction
from pathlib import Path

from neurocca.errors import DataError
from neurocca.io.ffmpeg import decoding

_NO_TIME = -(2**63)  # ffmpeg's mark of a packet without a presentation time
_DISCARDED = 4  # ffmpeg's flag of packets that lie outside the edit list


class PacketStream:
    """When the packets of a stream are shown, in seconds on the container's clock."""

    def __init__(self) -> None:
        self.tick, self.n = Fraction(1), 0
        self._first, self._last, self._shown = math.inf, (-math.inf, 0), 0  # in ticks

    def add(self, packet: bytes) -> None:
        """Take up a line of ffmpeg's that describes a packet."""
        _, decoded, shown, duration, _ = packet.split(b",", 4)
        self.n += 1
        begin = int(decoded if int(shown) == _NO_TIME else shown)
        self._first = min(begin, self._first)
        self._last = max((begin, begin + int(duration)), self._last)
        self._shown += int(duration)

    @property
    def begins(self) -> Fraction:
        """The first."""
        return int(self._first) * self.tick

    @property
    def last_begins(self) -> Fraction:
        """The last."""
        return int(self._last[0]) * self.tick

    @property
    def end(self) -> Fraction:
        """End of the last."""
        return self._last[1] * self.tick

    @property
    def shown(self) -> float:
        """Seconds that all of them last together."""
        return float(self._shown * self.tick)


def packet_streams(path: Path) -> list[PacketStream]:
    """The streams that hold anything: the pictures, which come first, sound and subtitles.

    Raises
    ------
    DataError
        When there are no pictures.
    """
    options = ["-map", "0:V:0", "-map", "0:a?", "-map", "0:s?", "-c", "copy", "-f", "framecrc"]
    streams: dict[bytes, PacketStream] = {}
    ticks: dict[bytes, Fraction] = {}
    with decoding(path, options, quiet=True) as packets:
        for line in packets.lines():
            if line.startswith(b"#tb "):
                number, clock = line[4:].split(b":")
                ticks[number] = Fraction(clock.decode().strip())
            elif not line.startswith(b"#") and not _flags(line) & _DISCARDED:
                number = line.partition(b",")[0]
                streams.setdefault(number, PacketStream()).add(line)
    for number, stream in streams.items():
        stream.tick = ticks[number]
    if b"0" not in streams:
        raise DataError(f"film {path}: ffmpeg finds no readable pictures in it.")
    return [streams[number] for number in sorted(streams)]


def _flags(packet: bytes) -> int:
    _, mark, flags = packet.partition(b" F=0x")
    return int(flags.partition(b",")[0], 16) if mark else 0
