"""Parse the time of day, and small numbers written as words."""

import re
from datetime import time

from chat.assistant.offline.patterns import pattern

COUNTING = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS = {word: number for number, word in enumerate(COUNTING, 1)} | {
    "a": 1,
    "an": 1,
    "a couple of": 2,
    "a couple": 2,
    "a few": 3,
    "half a": 0,
}


def parse_count(words: str) -> int:
    words = words.lower()
    return int(words) if words.isdigit() else NUMBERS.get(words, 1)


TIME = pattern(
    r"(?<![\w'-])(?:(?:due\s+)?(?:at|by|around|about|@|before|for|until|till|from"
    r"|to)\s*)?(?:(?P<hour>\d{1,2})(?:[:.h](?P<minute>\d\d))?(?:\s*ish)?\s*(?P<half>[ap]\.?m\b\.?)"
    r"|(?P<clock>\d{1,2}):(?P<minutes>\d\d)(?:\s*h)?\b|(?<=\bat )(?P<dotted>\d{1,2})[.h](?P<dotmin>[0-5]\d)\b(?!\.)"
    r"|(?P<full>\d{1,2})\s?h(?:rs?)?\b|(?P<sharp>\d{1,2})\s*o'?\s?clock|(?P<named>noon|midday|midnight)\b"
    r"|(?P<rel>half past|half|quarter past|quarter to)\s+(?P<relhour>\d{1,2}|one|two|three|four|five|six|seven|eight"
    r"|nine|ten|eleven|twelve)\b|(?<=\bat )(?P<bare>\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve)\b|(?<=@)\s?(?P<at>\d{1,2})\b)(?!\s*(?:%|euros?|dollars?|people|items?|[/\d]|(?:\w+ )?(?:street|st|road"
    r"|rd|avenue|lane|square|drive|boulevard|place|court)\b))(?:\s+(?:sharp|in the (?P<part>morning|afternoon|evening)"
    r"|at (?P<night>night)))?"
)


def parse_time(match: re.Match[str], part: str | None) -> time | None:
    part = match["part"] or match["night"] or part
    try:
        if match["named"]:
            return time(0, 0) if match["named"].lower() == "midnight" else time(12, 0)
        if match["half"]:
            if int(match["hour"]) > 12:
                return time(int(match["hour"]), int(match["minute"] or 0)) if match["half"].lower()[0] == "p" else None
            hour = int(match["hour"]) % 12 + (12 if match["half"].lower().startswith("p") else 0)
            return time(hour, int(match["minute"] or 0))
        if match["clock"]:
            hour = int(match["clock"])
            # 03:30 and 15:30 are on the 24-hour clock; 3:30 usually means the afternoon.
            spoken = hour < 12 and not match["clock"].startswith("0")
            return time(to_24_hours(hour, part) if (part and hour < 12) or spoken else hour, int(match["minutes"]))
        if match["dotted"] or match["full"]:
            hour = int(match["dotted"] or match["full"])
            return time(to_24_hours(hour, part) if hour < 12 else hour, int(match["dotmin"] or 0))
        if match["rel"]:
            hour, minute = (
                to_24_hours(parse_count(match["relhour"]), part),
                30 if match["rel"].lower().startswith("half") else 15,
            )
            return time(hour, minute) if match["rel"].lower() != "quarter to" else time((hour - 1) % 24, 45)
        return time(to_24_hours(parse_count(match["sharp"] or match["bare"] or match["at"]), part), 0)
    except ValueError:
        return None


def to_24_hours(hour: int, part: str | None) -> int:
    """Convert an hour of the 12-hour clock: without a part of the day, it is between 7 in the morning and 6 in the
    evening.
    """
    part = (part or "").lower()
    if part in ("morning", "am"):
        return hour % 12 if hour == 12 else hour
    if part in ("afternoon", "evening", "tonight", "night", "pm"):
        return hour + 12 if hour < 12 else hour
    return hour + 12 if 1 <= hour <= 6 else hour
