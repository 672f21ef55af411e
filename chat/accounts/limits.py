"""Limits on attempts, counted in PostgreSQL for all server processes together.

An attempt is counted before it is made, in one statement, so that parallel attempts cannot slip through.
"""

import logging
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone
from django.utils.crypto import salted_hmac

from chat.exceptions import RateLimited
from chat.models import AttemptCount

logger = logging.getLogger(__name__)

_COUNT = """
INSERT INTO chat_attemptcount AS c (key, count, expires_at) VALUES (%(key)s, 1, %(end)s)
ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN c.expires_at <= %(now)s THEN 1 ELSE least(c.count, %(most)s) + 1 END,
    expires_at = CASE WHEN c.expires_at <= %(now)s OR (%(from_last)s AND c.count < %(most)s)
        THEN excluded.expires_at ELSE c.expires_at END
RETURNING count, expires_at
"""
_UNCOUNT = "UPDATE chat_attemptcount SET count = count - 1 WHERE key = %s AND count > 0"


@dataclass(frozen=True, slots=True)
class Limit:
    """A maximum number of attempts within a window of time.

    The window begins with the first attempt, or, with `from_last`, with the last attempt that was allowed.
    """

    name: str
    most: int
    window: timedelta
    detail: str
    from_last: bool = False

    def count(self, *who: object) -> int:
        """Count an attempt and return how many are left. Raise RateLimited if there were none."""
        now = timezone.now()
        with connection.cursor() as cursor:
            window = {"now": now, "end": now + self.window}
            cursor.execute(_COUNT, {"key": self._key(*who), "most": self.most, "from_last": self.from_last, **window})
            count, expires_at = cursor.fetchone()
        if count > self.most:
            raise self.exceeded(expires_at - now)
        if count == self.most > 1:
            logger.warning("The limit “%s” was reached: %d attempts.", self.name, self.most)
        return int(self.most - count)

    def exceeded(self, wait: timedelta | None = None) -> RateLimited:
        """Return the error for a client over the limit, which by default must wait for the whole window."""
        wait = self.window if wait is None else wait
        return RateLimited(self.detail, retry_after=max(1, math.ceil(wait.total_seconds())))

    def uncount(self, *who: object) -> None:
        """Undo the count of an attempt."""
        with connection.cursor() as cursor:
            cursor.execute(_UNCOUNT, [self._key(*who)])

    def reset(self, *who: object) -> None:
        """Reset the count of attempts."""
        AttemptCount.objects.filter(key=self._key(*who)).delete()

    def _key(self, *who: object) -> str:
        return salted_hmac(f"{__name__}.{self.name}", repr(who), algorithm="sha256").hexdigest()


def forget_expired(now: datetime) -> int:
    """Remove the counts of windows that have ended; return their number."""
    removed, _ = AttemptCount.objects.filter(expires_at__lte=now).delete()
    return removed
