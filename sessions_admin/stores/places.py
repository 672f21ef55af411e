"""Where backups are kept: a folder, or a bucket of S3-compatible storage.

The storage's endpoint and credentials are boto3's own settings: AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and so on.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from chat.exceptions import BadInput, Conflict, NotFound
from sessions_admin.stores.temporary import temporary_folder

NAME = re.compile(r"threadkeeper-\d{8}T\d{6}Z\.zip", re.ASCII)


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Return the names of the backups that `backup` named, the oldest first."""
        return sorted(path.name for path in self.path.glob("*.zip") if NAME.fullmatch(path.name))

    def get(self, name: str, file: Path) -> None:
        """Link a backup. Raise NotFound."""
        if not (self.path / name).is_file():
            raise NotFound(f"There is no backup {self.path / name}.")
        file.symlink_to((self.path / name).resolve())

    def delete(self, name: str) -> None:
        """Delete a backup."""
        (self.path / name).unlink(missing_ok=True)


class Bucket:
    """A bucket, or what is below a prefix in it."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3  # here: it takes a second to import

        self._bucket, self._prefix = bucket, prefix
        with self._failures_as_bad_input():
            self._client: Any = boto3.client("s3")

    def names(self) -> list[str]:
        """Return the names of the backups that `backup` named, the oldest first. Raise BadInput."""
        with self._failures_as_bad_input():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            keys = [entry["Key"].removeprefix(self._prefix) for page in pages for entry in page.get("Contents", ())]
        return sorted(key for key in keys if NAME.fullmatch(key))

    def put(self, file: Path, name: str, *, force: bool) -> str:
        """Upload a file, in parts if it is large; return its URL. Raise BadInput, or Conflict if there is one.

        boto3 sends checksums, which the storage verifies.
        """
        url = f"s3://{self._bucket}/{self._prefix}{name}"
        with self._failures_as_bad_input():
            if not force and self._size(name) is not None:
                raise Conflict(f"{url} exists; --force overwrites it.")
            self._client.upload_file(str(file), self._bucket, self._prefix + name)
            if self._size(name) != file.stat().st_size:
                raise BadInput(f"{url} has another size than what was sent.")
        return url

    def get(self, name: str, file: Path) -> None:
        """Download a backup. Raise NotFound, BadInput."""
        with self._failures_as_bad_input():
            if self._size(name) is None:
                raise NotFound(f"There is no backup s3://{self._bucket}/{self._prefix}{name}.")
            self._client.download_file(self._bucket, self._prefix + name, str(file))

    def delete(self, name: str) -> None:
        """Delete a backup."""
        with self._failures_as_bad_input():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def _size(self, name: str) -> int | None:
        from botocore.exceptions import ClientError

        try:
            return int(self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)["ContentLength"])
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    @contextmanager
    def _failures_as_bad_input(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise BadInput(f"The storage of s3://{self._bucket} refused: {error}") from error


def place_of(text: str) -> tuple[Folder | Bucket, str]:
    """Return a place, and the name of one backup in it, "" if the text names the place alone.

    A text is s3://bucket/folder/, s3://bucket/folder/name.zip, a folder, or a file. Raise BadInput.
    """
    if text.startswith("s3://"):
        parts = urlsplit(text)
        folder, _, name = parts.path.lstrip("/").rpartition("/")
        if not parts.netloc or (name and not name.endswith(".zip")):
            raise BadInput(f"{text} is no place for backups: write s3://bucket/folder/ or s3://bucket/folder/name.zip.")
        return Bucket(parts.netloc, f"{folder}/" if folder else ""), name
    path = Path(text)
    if path.is_dir():
        return Folder(path), ""
    if text.endswith("/"):
        raise BadInput(f"{text} is no folder.")
    return Folder(path.parent), path.name


@contextmanager
def fetched(text: str) -> Iterator[Path]:
    """Yield a file with a backup, which is downloaded for a while if it is in a bucket. Raise NotFound, BadInput."""
    place, name = place_of(text)
    if isinstance(place, Folder):
        yield Path(text)
        return
    if not name:
        raise BadInput(f"{text} names no backup: append its name.")
    with temporary_folder("download", settings.DATA_DIR) as folder:
        place.get(name, file := folder / name)
        yield file


def new_name() -> str:
    """Return the name of a backup that is made now; names sort by their time."""
    return f"threadkeeper-{timezone.now():%Y%m%dT%H%M%SZ}.zip"
